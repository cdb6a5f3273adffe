"""Event files read straight into traces, without any engine."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from trace_summarization.models import TraceEvent


@dataclass
class RecordedTrace:
    """A trace as recorded. `property_bytes` is the size of its properties as JSON, in UTF-8."""

    team_id: int
    trace_id: str
    events: list[TraceEvent] = field(default_factory=list)
    property_bytes: int = 0


def read_traces(folder: Path) -> list[RecordedTrace]:
    """Traces of all `*.jsonl` and `*.jsonl.gz` files of a folder but `labels*`, in the order they begin there.

    Events of one trace may lie in several files. Leaves the program when the folder holds no such file.
    """
    files = sorted(path for path in (*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")) if _holds_events(path))
    if not files:
        raise SystemExit(f"{folder}: no *.jsonl or *.jsonl.gz file in this folder")
    traces: dict[tuple[int, str], RecordedTrace] = {}
    for path in files:
        for row in _rows(path):
            properties = row["properties"]
            key = (int(row["team_id"]), str(properties["$ai_trace_id"]))
            trace = traces.setdefault(key, RecordedTrace(*key))
            moment = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            trace.events.append(TraceEvent(row["uuid"], row["event"], moment, properties))
            trace.property_bytes += len(json.dumps(properties, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return list(traces.values())


def _holds_events(path: Path) -> bool:
    return not path.name.startswith("labels")


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield json.loads(line)
