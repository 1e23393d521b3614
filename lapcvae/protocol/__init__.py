"""Requests, results and geometry as values, their framing, and the client: standard library only."""
