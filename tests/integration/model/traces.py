"""One small trace that the tests of the model summarize."""

from adapters.model import OpenAiSummaryModel
from tests.spending import RecordedSpending
from tests.unit.text_repr.traces import event, generation
from trace_summarization.models import Mode
from trace_summarization.ports import ModelRequest
from trace_summarization.requests import summary_request
from trace_summarization.summarization import SummarizedTrace, summarize
from trace_summarization.text_repr import render_trace

TRACED = "The customer's secret is swordfish."
TRACE = render_trace(
    "t1",
    [
        event("trace", 3, span_name="shop", input_state=TRACED, output_state="It is safe."),
        generation(
            1, model="gpt-4o", input=[{"role": "user", "content": TRACED}], output_choices="It is safe with us."
        ),
    ],
)
LONG_ENOUGH_SECONDS = 30.0
ONE_REQUEST_SECONDS = 5.0  # leaves no time for a retry or a repair


def ask(
    model: OpenAiSummaryModel,
    timeout_seconds: float = LONG_ENOUGH_SECONDS,
    name: str = "gpt-4.1-mini",
    spending: RecordedSpending | None = None,
    mode: Mode = "detailed",
) -> SummarizedTrace:
    """Have the trace summarized."""
    return summarize(TRACE, mode, name, model, timeout_seconds, spending or RecordedSpending())


def request_for(name: str = "gpt-4.1-mini") -> ModelRequest:
    """The request for a detailed summary of the trace."""
    return summary_request(TRACE.text, "detailed", name)
