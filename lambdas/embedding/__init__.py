"""Embedding requests: what goes to the queue."""
