"""Linear models: sparse and dense algebra, no gradient descent."""
