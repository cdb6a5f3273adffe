import pytest
from hypothesis import given
from hypothesis import strategies as st

from trace_summarization.terms import Term, alike, terms_of, tokens_of


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("The user asks for a refund.", [Term("word", "refund")]),
        ("Call find_order", [Term("name", "find_order", ("order",))]),
        ("with HX-4711.", [Term("name", "hx-4711", ("hx", "4711"))]),
        ("It reads src/app.py.", [Term("word", "reads"), Term("name", "src/app.py", ("src", "app", "py"))]),
        ("parseJson runs", [Term("name", "parsejson", ("parse", "json"))]),
        ("$1,234.50 or 1234.5 dollars", [Term("number", "1234.5"), Term("word", "dollars")]),
        ("three or 3 retries", [Term("count", "3"), Term("word", "retries")]),
        ("Refunds go to Paris", [Term("word", "refunds"), Term("name", "paris")]),
        ("JFK is closed", [Term("name", "jfk", ("jfk",)), Term("word", "closed")]),
        ("on 2024-05-20", [Term("number", "2024"), Term("count", "5"), Term("number", "20")]),
        ("a one-way flight", [Term("word", "one"), Term("word", "flight")]),
        ("京都へ", [Term("word", "京都"), Term("word", "都へ")]),
        ("Ｈｅｌｌｏ", [Term("word", "hello")]),
        ("", []),
    ],
)  # fmt: skip
def test_a_statement_is_its_words_names_and_numbers(statement: str, expected: list[Term]) -> None:
    assert terms_of(statement) == expected


@pytest.mark.parametrize(
    ("text", "token"),
    [
        ("get_reservation_details(id=7)", "reservation"),
        ("get_reservation_details(id=7)", "get_reservation_details"),
        ("pytest sklearn/utils/tests/test_app.py", "test_app.py"),
        ("`agent.run_sync()`", "run_sync"),
        ("amount: 1,377", "1377"),
        ("price 05.50", "5.5"),
        ("2024-05-20T10:00", "may"),
        ("Zürich", "zurich"),
        ("RateLimitError", "limit"),
        ("it failed", "error"),
        ("don't", "do"),
    ],
)
def test_a_text_is_found_by_all_that_a_statement_may_call_it(text: str, token: str) -> None:
    assert token in set(tokens_of(text))


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("cancel", "cancellation"),
        ("canceled", "cancelled"),
        ("refund", "refunded"),
        ("booking", "booked"),
        ("delete", "deletion"),
        ("apply", "applied"),
        ("reserve", "reservation"),
        ("заказ", "заказа"),
        ("buchung", "buchungen"),
    ],
)
def test_forms_of_a_word_are_alike(word: str, other: str) -> None:
    assert alike(word, other)
    assert alike(other, word)


@pytest.mark.parametrize(
    ("word", "other"), [("internal", "internet"), ("part", "particular"), ("train", "trail"), ("contract", "contrast")]
)
def test_different_words_are_not(word: str, other: str) -> None:
    assert not alike(word, other)


@given(st.text(max_size=200))
def test_any_text_has_terms_that_it_is_found_by(text: str) -> None:
    found = set(tokens_of(text))
    for term in terms_of(text):
        assert term.kind == "count" or term.text in found or set(term.parts) <= found
