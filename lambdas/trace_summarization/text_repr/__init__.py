"""Text representation: a trace's events as numbered lines that a model can read and cite, within a token budget."""

from trace_summarization.text_repr.budget import fit
from trace_summarization.text_repr.rendering import TextRepr, render_trace

__all__ = ["TextRepr", "fit", "render_trace"]
