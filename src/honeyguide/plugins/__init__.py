"""Plug-ins: what is done to a model, one file each."""
