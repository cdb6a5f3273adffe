import pytest

from trace_summarization import constants as c
from trace_summarization.line_refs import LineRange, fitting_refs, parse_refs, written_refs


@pytest.mark.parametrize(
    ("refs", "expected"),
    [
        ("L10", "L10"),
        ("L1-5", "L1-5"),
        ("L1-L5", "L1-5"),
        ("L1 - 5", "L1-5"),
        ("L1–5; L7", "L1-5, L7"),
        ("L1—L5", "L1-5"),
        ("L1 L2-3", "L1, L2-3"),
        ("L1 and L2, and L3-L4", "L1, L2, L3-4"),
        ("L1 & L2", "L1, L2"),
        ("[L1, L2-5]", "L1, L2-5"),
        ("(L1), (L7)", "L1, L7"),
        (" L3 ,L3,L2", "L3, L2"),
        ("L4-4", "L4"),
        ("", ""),
        (" , ;", ""),
    ],
)
def test_every_form_of_references_is_read_and_written_as_one(refs: str, expected: str) -> None:
    given = parse_refs(refs)
    assert written_refs(given.ranges) == expected
    assert given.malformed == 0


@pytest.mark.parametrize(
    ("refs", "malformed"),
    [
        ("10", 1),
        ("line 3", 2),
        ("l3", 1),
        ("L", 1),
        ("L-3", 1),
        ("LL3", 1),
        ("L１", 1),
        ("L1.5", 1),
        ("L12345678", 1),
        ("see L1", 1),
        ("L1<script>", 1),
    ],
)
def test_what_is_no_reference_is_counted(refs: str, malformed: int) -> None:
    assert parse_refs(refs).malformed == malformed


def test_only_the_beginning_of_an_endless_list_is_read() -> None:
    assert len(parse_refs("L1, " * 10**6 + "L2").ranges) == 1


def test_references_fit_their_size() -> None:
    fitting = fitting_refs(LineRange(number, number) for number in range(1, 1_000))
    assert 90 < len(written_refs(fitting)) <= c.MAX_LINE_REFS_LENGTH


def test_a_reference_is_kept_once() -> None:
    assert fitting_refs([LineRange(3, 3), LineRange(3, 3), LineRange(1, 2)]) == (LineRange(3, 3), LineRange(1, 2))
