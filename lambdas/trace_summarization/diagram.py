"""Flow diagrams: a small part of Mermaid's flowchart language, read into nodes and edges and written anew.

Nothing of the source passes but words: ids are replaced, labels go through a whitelist of characters. What the grammar
does not know (subgraphs, styles, classes, clicks, directives, comments) makes the whole diagram a plain list of steps.

    diagram   = ("flowchart" | "graph") direction { statement }      one statement a line, or separated by ";"
    statement = group { arrow group }
    group     = node { "&" node }
    node      = id [ "[" label "]" | "(" label ")" | "([" label "])" | "((" label "))" | "{" label "}" | ... ]
    arrow     = ("-->" | "---" | "-.->" | "==>") [ "|" label "|" ]  |  "-- " label " -->" | "-. " label " .->" | ...
"""

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from trace_summarization import constants as c
from trace_summarization.safe_text import safe_text, shortened

MAX_NODES = 30
MAX_EDGES = 60
_LONGEST_LABEL = 60
_LONGEST_EDGE_LABEL = 30
_STEP_WORDS = 8
_LABEL_PASSES = 3
# Mermaid takes a label that begins like a list for Markdown and prints an error in its place.
_LIST_MARK = re.compile(r"^(?:(?:[-+*]|\d{1,3}\.)\s+)+")
_PUNCTUATION = frozenset(" .,:!?'%+-−/_$€£()=*…≤≥≠→←")
# Signs that the whitelist takes out although they carry meaning: without `>`, `a >= 5` would read as `a = 5`. What
# stands here between words or numbers is put in words or in a sign that neither Mermaid nor HTML knows.
_SIGNS = (
    (re.compile(r"(?<!<)(?:[-=]{1,2})>(?!=)"), "→"),
    (re.compile(r"<-{1,2}(?=\s)"), "←"),
    (re.compile(r">="), "≥"),
    (re.compile(r"<="), "≤"),
    (re.compile(r"(?<=\w\s)<>(?=\s\w)"), "≠"),
    (re.compile(r"(?<=[\w)\]]) ?<(?= ?[\w($€£.+-])|(?<![\w<])<(?= ?\d)"), " under "),
    (re.compile(r"(?<=[\w)\]]) ?>(?= ?[\w($€£.+-])|(?<![\w>])>(?= ?\d)"), " over "),
    (re.compile(r"(?<=[\w)\]]) ?&{1,2} ?(?=[\w(\[])"), " and "),
    (re.compile(r"(?<=[\w)\]]) ?\|\| ?(?=[\w(\[])"), " or "),
    (re.compile(r"\b([ACFJ])#(?!\w)"), r"\1 sharp"),
    (re.compile(r"(?<![\w&])#(?=\d+\b(?!;))"), "no. "),
    (re.compile(r"(?<!\w)~(?=\d)"), "about "),
    (re.compile(r";"), ","),
)

_HEADER = re.compile(r"(?:flowchart|graph)[ \t]+(TD|TB|BT|LR|RL)")
_ID = re.compile(r"[A-Za-z0-9_]{1,40}")
# Opening bracket -> closing bracket, and the shape that is written: box, round or diamond. Longest openings first.
_SHAPES = {
    "(((": (")))", "round"),
    "([": ("])", "round"),
    "((": ("))", "round"),
    "[[": ("]]", "box"),
    "[(": (")]", "box"),
    "[/": ("/]", "box"),
    "{{": ("}}", "diamond"),
    "[": ("]", "box"),
    "(": (")", "round"),
    "{": ("}", "diamond"),
}
_BRACKETS = {"box": ("[", "]"), "round": ("(", ")"), "diamond": ("{", "}")}
_ARROW = re.compile(
    r"(?:-{2,3}>|-{3,4}|-\.{1,2}->|={2,3}>)(?:\|(?P<piped>[^|\n]{0,200})\|)?"
    r"|--[ \t]*(?P<dashed>[^-.=|<>\s][^|\n]{0,200}?)[ \t]*-{2,3}>"
    r"|-\.[ \t](?P<dotted>[^.|\n]{1,200}?)[ \t]\.->"
    r"|==[ \t](?P<thick>[^=|\n]{1,200}?)[ \t]={2,3}>"
)
# Words that begin a statement of another kind; as node ids they would only be a way to smuggle one in.
_RESERVED = frozenset(
    {"subgraph", "end", "style", "classdef", "class", "linkstyle", "click", "direction", "href", "call", "acctitle"}
)


@dataclass
class _Flowchart:
    direction: str
    labels: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[str, str, str]] = field(default_factory=list)


class _NotInGrammar(Exception):
    """The source is not in the part of the language that is passed on."""


def safe_diagram(source: str, steps: Sequence[str]) -> str:
    """The source as a safe Mermaid flowchart; `steps` in a row when it is anything the grammar does not know."""
    try:
        written = _written(_parsed(source))
    except _NotInGrammar:
        return linear_diagram(steps)
    return written if len(written) <= c.MAX_DIAGRAM_LENGTH else linear_diagram(steps)


def linear_diagram(steps: Sequence[str]) -> str:
    """A flowchart of the steps' first words, one after the other."""
    chart = _Flowchart("TD")
    for number, step in enumerate(steps[:MAX_NODES] or ["Trace"], start=1):
        words = safe_text(step, c.MAX_ITEM_LENGTH).split()
        chart.labels[f"{number}"] = " ".join(words[:_STEP_WORDS]).rstrip(".,:;") + (
            "…" if len(words) > _STEP_WORDS else ""
        )
    ids = list(chart.labels)
    chart.edges = [(first, second, "") for first, second in itertools.pairwise(ids)]
    return _written(chart)


def _parsed(source: str) -> _Flowchart:
    if len(source) > c.MAX_DIAGRAM_LENGTH:
        raise _NotInGrammar
    text = source.strip().removeprefix("```mermaid").removeprefix("```").removesuffix("```").strip()
    lines = [statement.strip() for line in text.split("\n") for statement in _statements(line) if statement.strip()]
    header = _HEADER.fullmatch(lines[0]) if lines else None
    if header is None:
        raise _NotInGrammar
    chart = _Flowchart(header[1])
    for line in lines[1:]:
        _read_statement(line, chart)
    if not chart.labels or len(chart.labels) > MAX_NODES or len(chart.edges) > MAX_EDGES:
        raise _NotInGrammar
    return chart


def _statements(line: str) -> list[str]:
    """A line's statements: a semicolon ends one, except inside a quoted label."""
    parts = line.split('"')
    # Odd parts are inside quotes.
    masked = '"'.join(part.replace(";", "\0") if position % 2 else part for position, part in enumerate(parts))
    return [statement.replace("\0", ";") for statement in masked.split(";")]


def _read_statement(line: str, chart: _Flowchart) -> None:
    sources, position = _read_group(line, 0, chart)
    while position < len(line):
        arrow = _ARROW.match(line, position)
        if arrow is None:
            raise _NotInGrammar
        label = next((text for text in arrow.groups() if text), "")
        targets, position = _read_group(line, _after_blanks(line, arrow.end()), chart)
        chart.edges += [(source, target, label) for source in sources for target in targets]
        sources = targets


def _read_group(line: str, position: int, chart: _Flowchart) -> tuple[list[str], int]:
    nodes: list[str] = []
    while True:
        node, position = _read_node(line, position, chart)
        nodes.append(node)
        if position >= len(line) or line[position] != "&":
            return nodes, position
        position = _after_blanks(line, position + 1)


def _read_node(line: str, position: int, chart: _Flowchart) -> tuple[str, int]:
    match = _ID.match(line, position)
    if match is None or match.group().lower() in _RESERVED:
        raise _NotInGrammar
    name, position = match.group(), match.end()
    chart.labels.setdefault(name, name)
    opening = next((bracket for bracket in _SHAPES if line.startswith(bracket, position)), None)
    if opening is not None:
        closing, shape = _SHAPES[opening]
        label, position = _read_label(line, position + len(opening), closing)
        chart.labels[name], chart.shapes[name] = label, shape
    return name, _after_blanks(line, position)


def _read_label(line: str, position: int, closing: str) -> tuple[str, int]:
    if line.startswith('"', position):
        end = line.find('"' + closing, position + 1)
        label = line[position + 1 : end]
        width = len(closing) + 1
    else:
        end = line.find(closing, position)
        label = line[position:end]
        width = len(closing)
    if end < 0 or '"' in label:
        raise _NotInGrammar
    return label, end + width


def _after_blanks(line: str, position: int) -> int:
    while position < len(line) and line[position] in " \t":
        position += 1
    return position


def _written(chart: _Flowchart) -> str:
    number_of = {name: number for number, name in enumerate(chart.labels, start=1)}
    lines = [f"flowchart {chart.direction}"]
    for name, number in number_of.items():
        opening, closing = _BRACKETS[chart.shapes.get(name, "box")]
        label = _label(chart.labels[name], _LONGEST_LABEL) or f"Step {number}"
        lines.append(f'  n{number}{opening}"{label}"{closing}')
    for source, target, text in chart.edges:
        label = _label(text, _LONGEST_EDGE_LABEL)
        arrow = f'-->|"{label}"|' if label else "-->"
        lines.append(f"  n{number_of[source]} {arrow} n{number_of[target]}")
    return "\n".join(lines)


def _label(text: str, longest: int) -> str:
    """Letters, marks, digits and a few signs; nothing that Mermaid or HTML gives a meaning to inside quotes."""
    words = text.replace("\\n", " ").replace("<br/>", " ").replace("<br>", " ")
    # What the whitelist takes out may have kept apart what is harmless apart only, such as `javascript";:`.
    for _ in range(_LABEL_PASSES):
        words = safe_text(words, longest * 4)
        for sign, said in _SIGNS:
            words = sign.sub(said, words)
        kept = "".join(
            char if char in _PUNCTUATION or unicodedata.category(char)[0] in "LMN" else " " for char in words
        )
        words = _LIST_MARK.sub("", " ".join(kept.split()))
    return shortened(words, longest)
