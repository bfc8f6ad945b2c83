"""Commands in words: what a person says becomes preferences that the next list obeys."""
