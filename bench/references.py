"""`references`: pairs of a statement and lines of a recorded trace, true and shuffled, before the check of references.

True pairs are made without the check: paraphrases written by hand, sentences of the offline model with words dropped
and moved, sentences about tool calls, numbers in another form. Shuffled pairs are the same statements with as many
lines from elsewhere in the trace, or from another trace, that do not say the same. Traces are split in two halves by
their id: thresholds were chosen looking at the first only, and limits are held on both.
"""

import gzip
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from local.extractive import extractive_summary
from trace_summarization.line_refs import LineRange, parse_refs
from trace_summarization.models import TraceEvent
from trace_summarization.text_repr import TextRepr, render_trace
from trace_summarization.verification import LineEvidence

MAX_TRUE_REJECTED = 0.05
MIN_SHUFFLED_REJECTED = 0.90

_SAMPLES = Path(__file__).parents[1] / "samples"
_PARAPHRASES = Path(__file__).parent / "paraphrases.json"
_TRACES_READ = 120  # besides those of the paraphrases
_PAIRS_PER_TRACE = 3  # of each generator
_SAME_WORDS = 0.5  # share of its words from which on a line says the same as another
_FEWEST_WORDS = 7
_RANGE_MARK = " … "
_CALL = re.compile(r"calls: ([\w.-]{3,60})\((.{3,2000})\)")
_ARGUMENT = re.compile(r'([a-zA-Z_]\w{1,30})(?:=|": ?)"([^"\\{}\[\]<>]{3,60})"')
_MONEY = re.compile(r"\$(\d{1,3}(?:,\d{3})+|\d{2,6})(?![\d.,]\d)")
_LARGE_NUMBER = re.compile(r"(?<![\w.,-])(\d{4,7})(?![\w.,-])")
_POINTER = re.compile(r"\[[^\[\]]*\bas (?:in )?L\d")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Pair:
    """A statement and the lines that are cited for it."""

    source: str
    trace: "_Trace"
    statement: str
    ranges: tuple[LineRange, ...]

    def is_rejected(self) -> bool:
        """Whether the check leaves the statement without a reference."""
        return not self.trace.evidence.supporting(self.statement, self.ranges)


@dataclass(frozen=True)
class _Trace:
    """A rendered trace with what is read of it often."""

    trace_id: str
    file: str
    rendered: TextRepr

    @cached_property
    def evidence(self) -> LineEvidence:
        return LineEvidence(self.rendered.lines, self.rendered.pointers)

    @cached_property
    def numbers(self) -> list[int]:
        """Line numbers in order."""
        return sorted(self.rendered.lines)

    @property
    def is_held_out(self) -> bool:
        return _hash(self.trace_id) % 2 == 1

    def words(self, ranges: Sequence[LineRange]) -> set[str]:
        """The words and numbers of some lines, as they are written."""
        lines = self.rendered.lines
        text = " ".join(lines.get(number, "") for each in ranges for number in range(each.first, each.last + 1))
        return set(re.findall(r"\w{2,}", text.casefold()))


def run() -> dict[str, Any]:
    """Shares of rejected pairs, over both halves and for each."""
    traces = _traces()
    true_pairs = list(_true_pairs(traces))
    shuffled_pairs = list(_shuffled(true_pairs, list(traces.values())))
    result: dict[str, Any] = {
        "true_pairs": len(true_pairs),
        "shuffled_pairs": len(shuffled_pairs),
        "paraphrases": sum(pair.source == "paraphrase" for pair in true_pairs),
        "true_rejected": _share(true_pairs),
        "shuffled_rejected": _share(shuffled_pairs),
    }
    for name, held_out in (("tuned_on", False), ("held_out", True)):
        result[name] = {
            "true_rejected": _share([pair for pair in true_pairs if pair.trace.is_held_out is held_out]),
            "shuffled_rejected": _share([pair for pair in shuffled_pairs if pair.trace.is_held_out is held_out]),
        }
    for name, pairs in (("true_rejected_by_source", true_pairs), ("shuffled_rejected_by_source", shuffled_pairs)):
        sources = sorted({pair.source for pair in pairs})
        result[name] = {source: _share([pair for pair in pairs if pair.source == source]) for source in sources}
    return result


def report(result: dict[str, Any]) -> str:
    """The result as lines."""
    lines = [
        f"{result['true_pairs']} true pairs ({result['paraphrases']} paraphrased by hand): "
        f"{result['true_rejected']:.1%} rejected (at most {MAX_TRUE_REJECTED:.0%})",
        f"{result['shuffled_pairs']} shuffled pairs: "
        f"{result['shuffled_rejected']:.1%} rejected (at least {MIN_SHUFFLED_REJECTED:.0%})",
    ]
    for name in ("tuned_on", "held_out"):
        half = result[name]
        lines.append(f"{name:>12}: true {half['true_rejected']:.1%}, shuffled {half['shuffled_rejected']:.1%}")
    for name in ("true_rejected_by_source", "shuffled_rejected_by_source"):
        lines.append(f"{name}: " + ", ".join(f"{source} {share:.1%}" for source, share in result[name].items()))
    return "\n".join(lines)


def passes(result: dict[str, Any]) -> bool:
    """Whether both halves keep the limits, on enough pairs."""
    halves = (result, result["tuned_on"], result["held_out"])
    return (
        min(result["true_pairs"], result["shuffled_pairs"]) >= 300
        and result["paraphrases"] >= 80
        and all(half["true_rejected"] <= MAX_TRUE_REJECTED for half in halves)
        and all(half["shuffled_rejected"] >= MIN_SHUFFLED_REJECTED for half in halves)
    )


def _share(pairs: Sequence[Pair]) -> float:
    return round(sum(pair.is_rejected() for pair in pairs) / max(len(pairs), 1), 4)


# --- traces ----------------------------------------------------------------------------------------------------------


def _traces() -> dict[str, _Trace]:
    """The traces of the paraphrases and some more, by id."""
    wanted = {entry["trace_id"] for entry in json.loads(_PARAPHRASES.read_text("utf-8"))}
    events: dict[tuple[str, str], list[TraceEvent]] = defaultdict(list)
    for path in sorted(_SAMPLES.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row: dict[str, Any] = json.loads(line)
                event = TraceEvent(
                    row["uuid"], row["event"], datetime.fromisoformat(row["timestamp"]), row["properties"]
                )
                events[path.name, row["properties"]["$ai_trace_id"]].append(event)
    chosen = sorted(events, key=lambda key: (key[1] not in wanted, _hash(key[1])))[: len(wanted) + _TRACES_READ]
    return {key[1]: _Trace(key[1], key[0], render_trace(key[1], events[key])) for key in sorted(chosen)}


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


# --- true pairs ------------------------------------------------------------------------------------------------------


def _true_pairs(traces: Mapping[str, _Trace]) -> Iterator[Pair]:
    for entry in json.loads(_PARAPHRASES.read_text("utf-8")):
        trace = traces[entry["trace_id"]]
        for item in entry["items"]:
            ranges = [_range_of(trace, anchor) for anchor in item["shown_by"]]
            if None not in ranges:
                yield Pair("paraphrase", trace, item["text"], tuple(each for each in ranges if each))
    for trace in traces.values():
        chance = random.Random(trace.trace_id)
        for generator in (_sentences, _calls, _amounts):
            made = list(generator(trace, chance))
            yield from chance.sample(made, min(_PAIRS_PER_TRACE, len(made)))


def _range_of(trace: _Trace, anchor: str) -> LineRange | None:
    """The lines that an anchor names: the first line that holds it, or, for `a … b`, from the first to the second."""
    start, _, end = anchor.partition(_RANGE_MARK)
    lines = trace.rendered.lines
    first = next((number for number in trace.numbers if start in lines[number]), None)
    if first is None:
        return None
    last = next((number for number in trace.numbers if number >= first and end in lines[number]), None)
    return None if last is None else LineRange(first, last if end else first)


def _sentences(trace: _Trace, chance: random.Random) -> Iterator[Pair]:
    """Sentences that the offline model picks, with a third of their words dropped and some moved."""
    summary = extractive_summary(trace.rendered.text, 5, 10, 5)
    for item in (*summary["summary_bullets"], *summary["interesting_notes"]):
        words = item["text"].split()
        kept = [word for word in words if chance.random() > 1 / 3]
        if len(kept) >= _FEWEST_WORDS:
            place = chance.randrange(len(kept))
            yield Pair("sentence", trace, " ".join(kept[place:] + kept[:place]), parse_refs(item["line_refs"]).ranges)


def _calls(trace: _Trace, chance: random.Random) -> Iterator[Pair]:
    """What a tool was called with, told in a sentence."""
    for number in trace.numbers:
        call = _CALL.search(trace.rendered.lines[number])
        argument = _ARGUMENT.search(call[2]) if call else None
        if call and argument:
            template = chance.choice(
                (
                    "The assistant calls {tool} with {name} {value}.",
                    "For {name} {value} the agent uses its tool {tool}.",
                    "{tool} is invoked to handle {value}.",
                    "The {words} tool gets {value}.",
                )
            )
            statement = template.format(
                tool=call[1],
                words=call[1].replace("_", " ").replace("-", " "),
                name=argument[1].replace("_", " "),
                value=argument[2],
            )
            yield Pair("call", trace, statement, (LineRange(number, number),))


def _amounts(trace: _Trace, chance: random.Random) -> Iterator[Pair]:
    """A number in another form, with a few words from around it."""
    for number in trace.numbers:
        line = trace.rendered.lines[number]
        money = _MONEY.search(line)
        figure = money or _LARGE_NUMBER.search(line)
        if figure is None:
            continue
        digits = figure[1].replace(",", "")
        around = _WORD.findall(line[max(figure.start() - 80, 0) : figure.end() + 80])
        if len(around) < _FEWEST_WORDS:
            continue
        words = " ".join(chance.sample(around, min(len(around), 4)))
        form = f"{digits} dollars" if money else f"{int(digits):,}" if "," not in figure[1] else digits
        yield Pair("amount", trace, f"An amount of {form} comes up: {words}.", (LineRange(number, number),))


# --- shuffled pairs --------------------------------------------------------------------------------------------------


def _shuffled(pairs: Sequence[Pair], traces: Sequence[_Trace]) -> Iterator[Pair]:
    """Each pair's statement with lines from elsewhere in its trace, or with lines of another trace: half each.

    Elsewhere in the trace is, where there is such a pair, what another statement cites: lines that somebody found
    worth citing are harder to tell from the right ones than any others.
    """
    for pair in pairs:
        chance = random.Random(f"{pair.trace.trace_id} {pair.statement}")
        cited = [other.ranges for other in pairs if other.trace is pair.trace and other is not pair]
        if chance.random() < 0.5:
            places = chance.sample(cited, len(cited)) if chance.random() < 0.5 else []
            source, trace = "same trace", pair.trace
        else:
            in_file = [each for each in traces if each.file == pair.trace.file and each is not pair.trace]
            anywhere = [each for each in traces if each is not pair.trace]
            places, source, trace = [], "other trace", chance.choice(in_file if chance.random() < 0.5 else anywhere)
        places += [_moved(pair, trace, chance) for _ in range(20)]
        wrong = next((each for each in places if each and not _says_the_same(pair, trace, each)), None)
        if wrong is not None:
            yield Pair(source, trace, pair.statement, wrong)


def _moved(pair: Pair, trace: _Trace, chance: random.Random) -> tuple[LineRange, ...]:
    """Ranges as wide as the pair's, anywhere in a trace; fewer where they leave it."""
    firsts = [(chance.choice(trace.numbers), each.last - each.first) for each in pair.ranges]
    moved = (LineRange(first, first + more) for first, more in firsts)
    return tuple(each for each in moved if each.last in trace.rendered.lines)


def _says_the_same(pair: Pair, trace: _Trace, ranges: Sequence[LineRange]) -> bool:
    """Whether lines cannot count as wrong: near the pair's own, pointing somewhere else, or in the same words."""
    if trace is pair.trace and any(
        here.first - 3 <= own.last and own.first - 3 <= here.last for here in ranges for own in pair.ranges
    ):
        return True
    lines = trace.rendered.lines
    if any(_POINTER.search(lines.get(at, "")) for here in ranges for at in range(here.first, here.last + 1)):
        return True
    told, words = pair.trace.words(pair.ranges), trace.words(ranges)
    return len(words & told) >= _SAME_WORDS * min(len(words), len(told))
