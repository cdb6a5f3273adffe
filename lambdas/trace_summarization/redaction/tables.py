"""Values in columns that a first line names: CSV, Markdown tables, `INSERT INTO ... VALUES`."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.spans import Kind, Span

_NAME = re.compile(
    r"(?P<password>(?:\w{0,20}_)?(?:password|passwd|pwd|passphrase|passwort|kennwort|contraseña|senha|mot_de_passe))"
    r"|(?P<secret>(?:\w{0,20}_)?(?:secret|token|api_?key|secret_?key|access_?key|auth_?key))"
    r"|(?P<phone>(?:\w{0,20}_)?(?:phone|mobile|cell|telefon|telephone|tel|handy|fax|phone_?number|telefono|celular))",
    re.IGNORECASE,
)
_WORDS = ("passw", "pwd", "passphrase", "kennwort", "senha", "secret", "token", "key", "phone", "mobil", "telefon")
# Of one of these words in the line: a name alone in its column.
_COLUMN = re.compile(
    r"(?:^|[,;|\t(\n]|\\n)[ ]?[\"'`]?\w{0,20}$",
)
_COLUMN_REST = re.compile(r"\w{0,16}[\"'`]?[ ]?(?:[,;|\t)\n]|\\[nt])")
_LONGEST_LINE = 1_000
_MOST_ROWS = 200
_BREAK = re.compile(r"\\{0,3}\\n|\r?\n")
_CELL_OF_NAME = re.compile(r"[\"'`]?[^\W\d][\w .-]{0,40}[\"'`]?")
_RULE = re.compile(r"[-:|+ ]+")
_INSERT = re.compile(r"INSERT\s+(?:INTO|IGNORE INTO)\s+[^\s(]{1,100}\s*$", re.IGNORECASE)
_VALUES = re.compile(r"\)\s{0,20}VALUES\s{0,20}", re.IGNORECASE)
_TUPLE = re.compile(r"(?:\s|\\n){0,20}\(((?:'(?:[^'\n]|''){0,500}'|\"[^\"\n]{0,500}\"|[^'\"()\n]){1,500})\)[,;]?")
_SQL_CELL = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^,]*))\s*(?:,|$)")


@dataclass(frozen=True, slots=True)
class _Header:
    columns: tuple[Kind | None, ...]
    separator: str
    end: int


def find_in_columns(text: str) -> list[Span]:
    """Spans of the passwords, secrets and phone numbers that stand in columns named so."""
    spans: list[Span] = []
    done = 0
    for at in _hints(text):
        if at < done:
            continue
        earliest = max(0, at - _LONGEST_LINE)
        escaped = text.rfind("\\n", earliest, at)
        start = max(text.rfind("\n", earliest, at) + 1, escaped + 2 if escaped >= 0 else earliest)
        opening = text.rfind("(", start, at)
        if opening >= 0 and _INSERT.search(text, max(0, opening - 140), opening):
            found, done = _inserted(text, opening)
        else:
            found, done = _rows(text, start)
        spans += found
    return spans


def _hints(text: str) -> list[int]:
    """Where a word stands that could name a column."""
    lower = text.lower()
    hints: list[int] = []
    for word in _WORDS:
        at = lower.find(word)
        while at >= 0:
            if _COLUMN_REST.match(text, at + len(word)) and _COLUMN.search(text, max(0, at - 24), at):
                hints.append(at)
            at = lower.find(word, at + len(word))
    return sorted(hints)


def _rows(text: str, start: int) -> tuple[list[Span], int]:
    header_end, rows_start = _line(text, start)
    line = text[start:header_end]
    # What stands right before the first column, as the quote of a JSON string
    for separator in ("|", "\t", ";", ","):
        if separator in line:
            break
    else:
        return [], header_end
    names = line.split(separator)
    if len(names) < 2 or not all(_CELL_OF_NAME.fullmatch(name.strip()) for name in names[1:-1]):
        return [], header_end
    columns = [_kind(name) for name in names]
    if not any(columns):
        return [], header_end
    spans: list[Span] = []
    at = rows_start
    for _ in range(_MOST_ROWS):
        end, following = _line(text, at)
        cells = text[at:end].split(separator)
        if len(cells) != len(names):
            break
        if not _RULE.fullmatch(text[at:end]):
            spans += _cells(at, cells, columns)
        if following >= len(text):
            break
        at = following
    return spans, at


def _cells(at: int, cells: list[str], columns: list[Kind | None]) -> Iterator[Span]:
    for cell, kind in zip(cells, columns, strict=True):
        value = cell.strip(" \t\r\"'`\\").split('"', 1)[0]
        if kind and _is_value(value, kind):
            start = at + cell.index(value)
            yield Span(start, start + len(value), kind)
        at += len(cell) + 1


def _inserted(text: str, opening: int) -> tuple[list[Span], int]:
    closing = _VALUES.search(text, opening, opening + _LONGEST_LINE)
    if closing is None:
        return [], opening
    columns = [_kind(name) for name in text[opening + 1 : closing.start()].split(",")]
    spans: list[Span] = []
    at = closing.end()
    while row := _TUPLE.match(text, at):
        at = row.end()
        cells = [cell for cell in _SQL_CELL.finditer(row.group(1)) if cell.end() > cell.start()]
        if len(cells) != len(columns):
            continue
        for cell, kind in zip(cells, columns, strict=True):
            group = 1 if cell.group(1) is not None else 2
            if kind and _is_value(cell.group(group), kind):
                start = row.start(1) + cell.start(group)
                spans.append(Span(start, start + len(cell.group(group)), kind))
    return spans, at


def _line(text: str, start: int) -> tuple[int, int]:
    """The end of the line, and the start of the next."""
    found = _BREAK.search(text, start, start + _LONGEST_LINE)
    if found is None:
        return min(len(text), start + _LONGEST_LINE), len(text)
    return found.start(), found.end()


_KIND_BY_GROUP: Mapping[str, Kind] = {"password": "password", "secret": "secret", "phone": "phone"}


def _kind(name: str) -> Kind | None:
    found = _NAME.fullmatch(name.strip(" \t\"'`*\\"))
    return _KIND_BY_GROUP.get(found.lastgroup or "") if found else None


def _is_value(value: str, kind: Kind) -> bool:
    if kind == "phone":
        digits = sum(map(str.isdigit, value))
        return 7 <= digits <= 15 and not value.strip("+0123456789 ().-/")
    if is_placeholder(value) or " " in value or value.startswith(("$2", "$argon", "pbkdf2")):
        return False
    if kind == "secret":
        return len(value) >= 16 and any(map(str.isdigit, value))
    return len(value) >= 4
