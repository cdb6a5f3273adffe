"""Embeddings of summaries: the messages of their queue, what the worker makes of them, search."""
