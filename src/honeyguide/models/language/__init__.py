"""Models in which a language model reads items, and another one, or its blocks, reads what people did with them."""
