"""Plug-ins: one file for each thing that can be done to a model of any kind."""
