"""Sentences out of messages: what can be quoted, and what can head a summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Lines = Sequence[tuple[int, str]]

_SENTENCE_END = re.compile(
    r"(?<=[.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bMs\.)(?<!\bDr\.)(?<!\be\.g\.)(?<!\bi\.e\.)[\"')]*\s+|(?<=[。！？])"
)
_WORD = re.compile(r"[^\W\d_][\w'’-]*|\d[\w.,:%-]*", re.UNICODE)
_MARKDOWN_START = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6}|>|\|)\s+")
_MARKDOWN = re.compile(r"\*\*|__|`|!?\[([^\[\]]*)\]\([^()]*\)")
_TAG = re.compile(r"</?[a-zA-Z!][^<>]*>")
_BOLD_LINE = re.compile(r"\*\*[^*]+\*\*:?")
_MEMBER = re.compile(r"[\"'][\w .-]{1,60}[\"']\s*:|\w{1,40}=\S")
_SPOKEN_PREFIX = re.compile(r"^(?:THOUGHT|Thought|Final Answer|Answer|Message|Current Task|Task|User|Question)\s*:\s*")
_MAX_LINES_READ = 400


def words(text: str) -> frozenset[str]:
    """A word list, written as text."""
    return frozenset(text.split())


_STOP_WORDS = words(
    """
    a about after again all also am an and any are as at be because been before being but by can could did do does
    doing don't done for from get go had has have having he help her here hi hello him his how i i'd i'll i'm i've if in
    into is it it's its just know let like ll me more my need no not now of on one or other our out over please really s
    she should so some such t than thank thanks that that's the their them then there these they this those to too up us
    use using very want was we well were what when where which while who will with would yes you your
    """
)
# Words that a cut-off headline must not end in.
_DANGLING = words(
    """
    a an and any are as at be both but by few first for from her his if in into is its last latest my next of on or our
    so some that the their then this to two via was were what which while who with without your
    """
)
# Words that begin a clause: a headline that has to be cut is better cut before them.
_CLAUSE_STARTS = words("and because but or so that then when where which while with")

_GREETING = re.compile(
    r"^(?:hi|hello|hey|good (?:morning|afternoon|evening|day)|dear \w+|greetings|thanks|thank you|sure|okay|ok|yes|no"
    r"|well|great|perfect)\b(?:\s+there)?[\s,!.;:–-]*",
    re.IGNORECASE,
)
_INTRODUCTION = re.compile(
    r"^(?:my name is|this is|i'm called)\s+\w+(?:\s+[A-Z]\w+)*(?:\s*[,.;]\s*(?:and\s+)?|\s+and\s+)", re.IGNORECASE
)
_WISH = re.compile(
    r"\b(?:i(?:'d| would|'m| am| was| have)?\s+(?:really\s+|also\s+)?(?:like|love|want|need|wanted|wish|hoping|looking"
    r"|trying|calling|hope)\s+(?:to|for|you to|about|regarding|because of)?\s*"
    r"|(?:can|could|would|will)\s+(?:you|we|i)\s+(?:please\s+|kindly\s+)?(?:help(?:\s+me)?(?:\s+(?:to|with))?"
    r"|assist(?:\s+me)?(?:\s+(?:in|with))?|tell me|give me|show me|let me know)?\s*"
    r"|\b(?:and|but)\s+(?:need|want|would like|wish|hope)\s+to\s+"
    r"|please\s+(?:help me\s+(?:to|with)?\s*)?|help me\s+(?:to|with)?\s*|your task is\s+(?:specifically\s+)?to\s+)",
    re.IGNORECASE,
)
_FEELING = re.compile(
    r"^(?:i'm|i am)\s+(?:so |very |really |extremely |quite )*(?:frustrated|upset|angry|sorry|annoyed|disappointed)"
    r"(?:\s+right now)?\s*(?:because|that|about|with|,)?\s*",
    re.IGNORECASE,
)
_PLEASANTRY = re.compile(
    r"^(?:you['’]re (?:very |most )?welcome|you are welcome|thank(?:s| you)|have a |goodbye|bye|safe travels|no problem"
    r"|my pleasure|take care|is there anything else|if you (?:have any|need any|decide)|feel free)\b",
    re.IGNORECASE,
)
_EMPTY_REST = re.compile(
    r"^(?:me\s+)?(?:with\s+)?(?:that|this|it|please|help|assist|do|doing|some help)\b\W*(?:out\b)?.{0,12}$",
    re.IGNORECASE,
)
_POSSESSIVE = re.compile(r"(?:(?<=\ball )of\s+)?\b(?:my|our)\s+", re.IGNORECASE)
_STATEMENT = re.compile(r"(?:i|i'm|i've|i'd|my|we|our|it|it's|there|this|that|actually|also)\b", re.IGNORECASE)
_FIRST_PERSON = re.compile(r"^i(?:'ve|'m| have| am| was| just)?\s+(?=\w)", re.IGNORECASE)
_CLAUSE_END = re.compile(
    r"\s*(?:,\s*(?:and|but|so|please|can|could|which|since|as)\b|[,;:–]\s|\s[-–—]\s|\.\s|\?\s|!\s|\()"
)
_MAX_HEADLINE_WORDS = 10
_LONGEST_GIST = 60  # characters
_MIN_HEADLINE_WORDS = 3


@dataclass(frozen=True)
class Sentence:
    """Quoted text and the lines where it stands."""

    text: str
    refs: tuple[tuple[int, int], ...]


def content_words(text: str) -> list[str]:
    """Words beyond stop words, in lower case."""
    return [word for match in _WORD.finditer(text) if (word := match.group().lower().strip(".,:-")) not in _STOP_WORDS]


def quotable(lines: Lines, longest: int) -> Sentence:
    """The first sentences of a content, up to `longest` characters, without markup, tags or code."""
    taken: list[str] = []
    numbers: list[int] = []
    length = 0
    for number, sentence in _sentences(lines):
        if sentence in taken:
            continue
        room = longest - length
        if room <= len(sentence) and taken:
            break
        piece = sentence if len(sentence) <= room else sentence[: room - 1].rpartition(" ")[0].rstrip(",;:") + "…"
        taken.append(piece)
        numbers.append(number)
        length += len(piece) + 1
        if length >= longest * 0.6:
            break
    refs = ((numbers[0], numbers[-1]),) if numbers else ()
    joined = "".join(piece + (" " if piece[-1] in ".!?:;,…" else "; ") for piece in taken)
    return Sentence(joined.rstrip(" ;:").replace('"', "'"), refs)


def excerpt(lines: Lines, longest: int) -> Sentence:
    """What `quotable` gives, or the plain start of a content that holds no sentence, such as a number or JSON."""
    quote = quotable(lines, longest)
    if quote.text or not lines:
        return quote
    raw = " ".join(" ".join(line for _, line in lines[:_MAX_LINES_READ]).split()).replace('"', "'")
    cut = raw if len(raw) <= longest else raw[: longest - 1] + "…"
    return Sentence(cut, ((lines[0][0], lines[-1][0]),) if cut else ())


def is_pleasantry(lines: Lines) -> bool:
    """Whether a content says thanks, goodbye and the like, and nothing else."""
    sentences = [sentence for _, sentence in _first(_sentences(lines), 4)]
    telling = [each for each in sentences if not _PLEASANTRY.match(each) and len(content_words(each)) >= 4]
    return not telling and any(map(_PLEASANTRY.match, sentences))


def headline(lines: Lines) -> str:
    """At most ten words on what a request is about: the wish behind its first sentences, without politeness."""
    sentences = [_without_politeness(sentence) for _, sentence in _first(_sentences(lines), 4)]
    asked = [option for sentence in sentences if (option := _asked(sentence))]
    telling = [option for option in asked if len(content_words(option)) >= 3]
    first = [option for option in asked[:1] if sentences[0].endswith(option) and len(content_words(option)) >= 2]
    stated = [sentence for sentence in sentences if len(content_words(sentence)) >= 3]
    return next(
        (cut for option in (*first, *telling, *stated, *asked, *sentences) if (cut := cut_headline(option))), ""
    )


def gist(lines: Lines) -> str:
    """At most ten words of an answer: its first sentence that says something."""
    sentences = [_without_politeness(sentence) for _, sentence in _first(_sentences(lines), 6)]
    telling = [each for each in sentences if len(content_words(each)) >= 3 and not _PLEASANTRY.match(each)]
    return _cut(telling[0]) if telling else excerpt(lines, _LONGEST_GIST).text


def _asked(sentence: str) -> str:
    """What a sentence asks for: what follows "I would like to" and the like, or all of a command or question.

    Empty for a mere statement.
    """
    states = _STATEMENT.match(sentence) is not None
    for match in _WISH.finditer(sentence):
        rest = sentence[match.end() :]
        if (states or match.start() < 5) and content_words(rest) and not _EMPTY_REST.match(rest):
            return rest
    return "" if states or _EMPTY_REST.match(sentence) else sentence


def _without_politeness(sentence: str) -> str:
    original = sentence = sentence.replace("’", "'")
    previous = None
    while previous != sentence:
        previous = sentence
        for pattern in (_GREETING, _INTRODUCTION, _FEELING):
            sentence = pattern.sub("", sentence, count=1)
    return sentence if len(sentence.split()) > 1 else original


def cut_headline(text: str) -> str:
    """The text as a headline of at most ten words, ending at a clause where one ends."""
    return _cut(_POSSESSIVE.sub("", _FIRST_PERSON.sub("", text.strip())))


def _cut(text: str) -> str:
    text = text.replace("[", "").replace("]", "").strip(" .!,;:-–")
    if text[:1] in "\"'“‘" and text[-1:] in "\"'”’":
        text = text[1:-1]
    prefixes = (text[: match.start()] for match in _CLAUSE_END.finditer(text))
    all_words = next((prefix for prefix in prefixes if len(content_words(prefix)) >= 3), text).split()
    kept = all_words[:_MAX_HEADLINE_WORDS]
    if len(all_words) > _MAX_HEADLINE_WORDS:
        late = (position for position in range(5, len(kept)) if kept[position].lower() in _CLAUSE_STARTS)
        whole = kept[:-1] if all_words[_MAX_HEADLINE_WORDS][0].isdigit() else kept  # "on May" of "on May 26"
        kept = whole[: next(late, len(whole))]
        while len(kept) > _MIN_HEADLINE_WORDS and kept[-1].lower() in _DANGLING:
            kept.pop()
    line = " ".join(kept).strip(" .!,;:-–(")
    if line.count("(") > line.count(")"):
        line = line.rpartition("(")[0].strip() or line
    return line[:1].upper() + line[1:]


def _sentences(lines: Lines) -> Iterator[tuple[int, str]]:
    """Sentences with their lines. Code, data, headings, comments and lines that announce a list are passed over."""
    in_code = in_comment = False
    for number, raw in lines[:_MAX_LINES_READ]:
        if raw.lstrip().startswith("```"):
            in_code = not in_code
            continue
        if "<!--" in raw:
            in_comment = "-->" not in raw
            continue
        if in_comment:
            in_comment = "-->" not in raw
            continue
        line = _plain(raw)
        if in_code or not line or _is_machine_text(line) or _is_heading(raw, line):
            continue
        for sentence in _SENTENCE_END.split(line):
            if sentence and _WORD.search(sentence):
                yield number, sentence.strip()


def _plain(raw: str) -> str:
    line = _MARKDOWN.sub(lambda match: match.group(1) or "", _TAG.sub(" ", raw))
    line = _MARKDOWN_START.sub("", line)
    return _SPOKEN_PREFIX.sub("", " ".join(line.split()))


def _is_machine_text(line: str) -> bool:
    """Whether a line is data or a table rather than prose: few letters among many signs."""
    letters = sum(char.isalpha() or char.isspace() for char in line[:400])
    starts_like_data = line.startswith(("{", "[{", "|", "$ ", ">>> ")) or _MEMBER.match(line) is not None
    is_note = line.startswith("[") and line.endswith("]")
    return starts_like_data or is_note or letters < 0.6 * len(line[:400])


def _is_heading(raw: str, line: str) -> bool:
    marked = line.endswith(":") or raw.lstrip().startswith("#") or _BOLD_LINE.fullmatch(raw.strip()) is not None
    return marked and len(line.split()) <= 12


def _first(items: Iterator[tuple[int, str]], count: int) -> list[tuple[int, str]]:
    return [item for _, item in zip(range(count), items, strict=False)]
