"""What papers about agents claim, put to the test; run by ``honeyguide reproduce``."""
