"""Which traces of a window are summarized."""

import json

from trace_summarization import constants as c
from trace_summarization.models import SkipReason, TeamRun, TeamSample
from trace_summarization.ports import TraceStore


def sample_traces(run: TeamRun, max_traces: int, store: TraceStore) -> TeamSample:
    """The run's sample. Ids that are too long to travel through a state payload are counted and left out."""
    sampled = store.sample(run.team_id, run.window, max_traces)
    trace_ids = [trace_id for trace_id in sampled if _fits(trace_id)]
    too_long = len(sampled) - len(trace_ids)
    counted = run.model_copy(
        update={
            "traces_queried": len(sampled),
            "skipped_at_sampling": {SkipReason.TRACE_ID_TOO_LONG: too_long} if too_long else {},
        }
    )
    return TeamSample(run=counted, traces=trace_ids)


def _fits(trace_id: str) -> bool:
    return len(trace_id) <= c.MAX_TRACE_ID_LENGTH and len(json.dumps(trace_id)) <= c.MAX_TRACE_ID_JSON_BYTES
