"""Whatever a text or a diagram holds, what comes out is inert; what is ordinary comes out as it went in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.hostile_text import DIAGRAM_PLACES, HOSTILE_DIAGRAMS, HOSTILE_TEXTS, ORDINARY_TEXTS
from bench.storage_rules import diagram_violations, text_violations
from trace_summarization import constants as c
from trace_summarization.diagram import linear_diagram, safe_diagram
from trace_summarization.safe_text import safe_text

STEPS = ["The user asks.", "The assistant answers."]


def test_there_are_enough_of_them() -> None:
    assert len(set(HOSTILE_TEXTS)) >= 200
    assert len(set(HOSTILE_DIAGRAMS)) >= 50


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_hostile_text_comes_out_inert(text: str) -> None:
    for whole in (text, f"The user sends {text} to the agent", f"{text}{text}"):
        assert list(text_violations(safe_text(whole, c.MAX_ITEM_LENGTH), c.MAX_ITEM_LENGTH)) == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_in_a_diagram_it_comes_out_as_a_harmless_label(text: str) -> None:
    for place in DIAGRAM_PLACES:
        assert list(diagram_violations(safe_diagram(place.replace("{}", text), [text, "then"]))) == [], place
    assert list(diagram_violations(linear_diagram([text]))) == []


@pytest.mark.parametrize("diagram", HOSTILE_DIAGRAMS)
def test_a_hostile_diagram_comes_out_as_the_steps_in_a_row(diagram: str) -> None:
    written = safe_diagram(diagram, STEPS)
    assert list(diagram_violations(written)) == []
    assert written == linear_diagram(STEPS)


@pytest.mark.parametrize("text", ORDINARY_TEXTS)
def test_ordinary_text_comes_out_as_it_went_in(text: str) -> None:
    assert safe_text(text, 200) == text


_PIECES = st.sampled_from([*HOSTILE_TEXTS, "<", ">", "&", ";", ":", "/", "//", "{", "}", "\u200d", "\x1b[", "=", " "])


@given(st.lists(_PIECES | st.text(max_size=3), max_size=8).map("".join))
def test_no_mixture_of_them_gets_through(text: str) -> None:
    once = safe_text(text, c.MAX_ITEM_LENGTH)
    assert list(text_violations(once, c.MAX_ITEM_LENGTH)) == []
    assert list(diagram_violations(safe_diagram(f'flowchart TD\nA["{text}"] --> B', [text]))) == []
