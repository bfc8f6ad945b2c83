"""Encoders of text (later of images and more) into vectors, their cache, and the texts of items."""
