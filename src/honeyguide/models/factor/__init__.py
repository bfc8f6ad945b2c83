"""Models of one vector per item, learnt from pairs of user and item."""
