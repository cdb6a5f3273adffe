"""Text representation: a trace's events as numbered lines that a model can read and cite."""

from trace_summarization.text_repr.rendering import TextRepr, render_trace

__all__ = ["TextRepr", "render_trace"]
