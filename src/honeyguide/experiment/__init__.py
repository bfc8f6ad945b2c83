"""Comparing, reporting and reproducing."""
