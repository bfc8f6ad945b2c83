"""Metrics with their conventions, per-user values, intervals and tests."""
