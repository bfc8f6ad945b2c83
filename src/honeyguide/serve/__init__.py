"""The service: an HTTP API over fitted models, with a store that keeps what it acknowledged."""
