"""Reasons for recommendations, taken from the models themselves and checked against them."""
