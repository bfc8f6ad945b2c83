"""Models that tell a rating from the ratings before it: means, factors, a small network over histories."""
