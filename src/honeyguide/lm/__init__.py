"""One port to language models, and its back ends."""
