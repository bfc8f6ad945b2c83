"""Contracts that every other room stands on."""
