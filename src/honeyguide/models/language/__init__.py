"""Recommenders that are language models: tuned on histories in words, their answers brought back to the catalogue."""
