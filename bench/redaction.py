"""`redaction`: how many secrets and personal data are found, how much else is taken for one, and how long it takes.

Cases are made up for this, in `redaction_cases/`. A positive marks what must go as «value»; a look-alike must stay
whole. Values are made at run time from a fixed seed (`{b62:36}`), so that no file holds anything that looks like a real
key; `↵` is a line break. A positive counts as found if each marked value became one placeholder and all else is as it
was.
"""

import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trace_summarization.redaction import Redactor

_CASES = Path(__file__).parent / "redaction_cases"
_SAMPLES = Path(__file__).parent.parent / "samples"
_LEAST_RECALL_OF_SECRETS = 0.97
_LEAST_RECALL = 0.95
_LEAST_PRECISION = 0.95
_MOST_SECONDS = 1.5
_TIMED_CHARACTERS = 2_000_000
_PLACEHOLDER = re.compile(r"\[(secret|password|private-key|card|email|phone)-\d+\]")
_KINDS = {"url-password": "password"}
_DIGITS = "0123456789"
_UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALPHABETS = {
    "d": _DIGITS,
    "hex": _DIGITS + "abcdef",
    "az": _UPPER.lower() + _UPPER,
    "AZ": _UPPER + "234567",
    "b62": _DIGITS + _UPPER + _UPPER.lower(),
    "b64": _DIGITS + _UPPER + _UPPER.lower() + "-_",
    "b64std": _DIGITS + _UPPER + _UPPER.lower() + "+/",
}


@dataclass(frozen=True)
class Case:
    """A text, and the marked values in it; none in a look-alike."""

    kind: str
    pieces: tuple[str, ...]  # text, value, text, value, ... text

    @property
    def text(self) -> str:
        """As it would stand in a trace."""
        return "".join(self.pieces)

    def is_found_in(self, redacted: str) -> bool:
        """Whether every value became a placeholder and all else stayed."""
        texts = self.pieces[::2]
        expected = rf"\"?{_PLACEHOLDER.pattern}\"?".join(re.escape(text) for text in texts)
        return re.fullmatch(expected, redacted) is not None


def cases() -> Iterator[Case]:
    """All positives and look-alikes."""
    values = random.Random(20250115)
    for line in (_CASES / "positives.tsv").read_text().splitlines():
        kind, template = line.split("\t", 1)
        yield Case(kind, tuple(re.split("[«»]", _filled(template, values))))
    for line in (_CASES / "lookalikes.txt").read_text().splitlines():
        yield Case("look-alike", (line.replace("↵", "\n"),))


def _filled(template: str, values: random.Random) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in _GENERATORS and match[1] not in _ALPHABETS:
            return match[0]  # braces of the text itself
        return _GENERATORS.get(match[1], _run)(values, match[1], match[2])

    return re.sub(r"\{(\w+)((?::\d+)*)\}", value, template).replace("↵", "\n")


def _numbers(arguments: str) -> list[str]:
    return arguments.split(":")[1:]


def _run(values: random.Random, name: str, arguments: str) -> str:
    """A run of the alphabet with at least one digit, as nearly all real ones have."""
    length = int(_numbers(arguments)[0])
    run = values.choices(_ALPHABETS[name], k=length)
    if name != "az" and length > 3:
        run[length // 2] = values.choice("234567")
    return "".join(run)


def _uuid(values: random.Random, _name: str, _arguments: str) -> str:
    return "-".join("".join(values.choices(_ALPHABETS["hex"], k=length)) for length in (8, 4, 4, 4, 12))


def _armour(separator: str) -> Callable[[random.Random, str, str], str]:
    def lines(values: random.Random, _name: str, arguments: str) -> str:
        count = int(_numbers(arguments)[0])
        lengths = [64] * (count - 1) + [41]
        return separator.join("".join(values.choices(_ALPHABETS["b64std"], k=length)) for length in lengths)

    return lines


def _card(grouping: str) -> Callable[[random.Random, str, str], str]:
    def number(values: random.Random, _name: str, arguments: str) -> str:
        start, length = (*_numbers(arguments), "16")[:2]
        digits = start + "".join(values.choices(_DIGITS, k=int(length) - len(start) - 1))
        total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(reversed(digits)))
        whole = digits + str(-total % 10)
        return whole if not grouping else grouping.join(whole[at : at + 4] for at in range(0, len(whole), 4))

    return number


_GENERATORS: dict[str, Callable[[random.Random, str, str], str]] = {
    "uuid": _uuid,
    "pem": _armour("\n"),
    "pemesc": _armour("\\n"),
    "pemesc2": _armour("\\\\n"),
    "pemind": _armour("\n    "),
    "pemplus": _armour("\n+"),
    "card": _card(""),
    "card4": _card(" "),
    "cardd": _card("-"),
}


def run() -> dict[str, Any]:
    """Redact every case with a redactor of its own, and real traces of 2,000,000 characters."""
    total: Counter[str] = Counter()
    found: Counter[str] = Counter()
    right = wrong = 0
    missed: list[str] = []
    taken: list[str] = []
    for case in cases():
        redacted = Redactor().redact(case.text)
        placeholders = len(_PLACEHOLDER.findall(redacted))
        wanted = len(case.pieces) // 2
        if not wanted:
            total["look-alike"] += 1
            wrong += placeholders
            taken += [f"{case.text!r} -> {redacted!r}"] if placeholders else []
            continue
        group = "secrets" if case.kind in ("secret", "password") else case.kind
        total[group] += 1
        if case.is_found_in(redacted):
            found[group] += 1
            right += wanted
        else:
            missed.append(f"{case.kind}: {case.text[:200]!r} -> {redacted[:200]!r}")
            right += min(placeholders, wanted)
            wrong += max(0, placeholders - wanted)
    return {
        "cases": dict(total),
        "recall": {kind: round(found[kind] / count, 4) for kind, count in total.items() if kind != "look-alike"},
        "precision": round(right / (right + wrong), 4),
        "seconds_for_2_million_characters": _seconds_for_traces(),
        "missed": missed,
        "taken_by_mistake": taken,
    }


def _seconds_for_traces() -> float:
    """CPU time for recorded traces; the first text, which loads the patterns, is not counted."""
    leaves: list[str] = []
    size = 0
    for path in sorted(_SAMPLES.glob("events-*.jsonl.gz")):
        part = 0
        with gzip.open(path, "rt") as lines:
            for line in lines:
                for leaf in _strings(json.loads(line)["properties"]):
                    leaves.append(leaf)
                    part += len(leaf) + 1
                if part > _TIMED_CHARACTERS // 4:
                    break
        size += part
    text = "\n".join(leaves)
    text = (text * (1 + _TIMED_CHARACTERS // len(text)))[:_TIMED_CHARACTERS]
    Redactor().redact("call +1 415 555 2671")
    began = time.process_time()
    Redactor().redact(text)
    return round(time.process_time() - began, 3)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def report(result: dict[str, Any]) -> str:
    """The figures, and each case that went wrong."""
    lines = [
        "cases      " + ", ".join(f"{kind} {count}" for kind, count in result["cases"].items()),
        "recall     " + ", ".join(f"{kind} {value:.1%}" for kind, value in result["recall"].items()),
        f"precision  {result['precision']:.1%}",
        f"seconds    {result['seconds_for_2_million_characters']} for {_TIMED_CHARACTERS:,} characters",
    ]
    lines += [f"missed     {case}" for case in result["missed"]]
    lines += [f"mistaken   {case}" for case in result["taken_by_mistake"]]
    return "\n".join(lines)


def misses_its_limits(result: dict[str, Any]) -> list[str]:
    """Which figures of quality are below their limit."""
    limits = {kind: _LEAST_RECALL_OF_SECRETS if kind == "secrets" else _LEAST_RECALL for kind in result["recall"]}
    below = [f"recall of {kind}" for kind, value in result["recall"].items() if value < limits[kind]]
    return below + (["precision"] if result["precision"] < _LEAST_PRECISION else [])


def passes(result: dict[str, Any]) -> bool:
    """Recall, precision and speed within their limits."""
    return not misses_its_limits(result) and result["seconds_for_2_million_characters"] <= _MOST_SECONDS
