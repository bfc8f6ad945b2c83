"""Rankers that read features: of users, of items, of the context, and of what the log says of them."""
