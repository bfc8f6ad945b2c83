"""Recommenders in which language models read items and histories, or write what comes next."""
