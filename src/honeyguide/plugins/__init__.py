"""Plug-ins: each changes how a model learns or answers, whatever the model is."""
