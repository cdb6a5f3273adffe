"""Words as search compares them: what is written in different ways meets, and one string stays words in a row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedding.words import searchable, words_of


@pytest.mark.parametrize(
    "written",
    [
        "update_reservation_flights",
        "update-reservation-flights",
        "update.reservation.flights",
        "update/reservation/flights",
        "update:reservation:flights",
        "UPDATE_RESERVATION_FLIGHTS",
        "Update Reservation Flights",
        "ｕｐｄａｔｅ＿reservation＿flights",
        '"update\\\\nreservation\\\\nflights"'.replace("\\\\", "\\"),
    ],
)
def test_a_compound_name_is_its_words_however_it_is_written(written: str) -> None:
    assert words_of(written) == ["update", "reservation", "flights"]


def test_a_name_with_humps_is_found_by_its_words_and_as_a_whole() -> None:
    stored = searchable("calls getUserDetails of GitHub")
    for asked in ("get user details", "getUserDetails", "getuserdetails", "GitHub", "github", "git hub"):
        assert searchable(asked) in stored


def test_a_name_with_humps_is_the_same_words_as_one_with_underscores() -> None:
    assert words_of("getUserDetails", wholes=False) == words_of("get_user_details")


def test_capitals_in_a_row_are_one_word_of_a_name() -> None:
    assert words_of("HTTPServerError") == ["http", "server", "error", "httpservererror"]
    assert words_of("URLs") == ["urls"]


def test_a_mixed_code_is_not_taken_apart() -> None:
    assert words_of("HAT136 aB3xY9zQ W2890441") == ["hat136", "ab3xy9zq", "w2890441"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Café", "cafe"),
        ("STRASSE", "straße"),
        ("ÅNGSTRÖM", "angstrom"),
        ("１２３", "123"),
        ("Ёлка", "елка"),
        ("ﬁle", "file"),
    ],
)
def test_case_width_and_accents_do_not_matter(one: str, other: str) -> None:
    assert words_of(one) == words_of(other)


@pytest.mark.parametrize(
    ("text", "part"), [("東京都に行きたい", "京都"), ("ยกเลิกการจอง", "การจอง"), ("예약을 취소", "예약")]
)
def test_where_words_are_not_parted_any_part_is_found(text: str, part: str) -> None:
    assert searchable(part) in searchable(text)


def test_vowel_signs_belong_to_their_word() -> None:
    assert words_of("हिन्दी भाषा।") == ["हिन्दी", "भाषा"]


@pytest.mark.parametrize("text", ["", "  ", "👍🏽 ❤️ 🇩🇪 1️⃣", "㊗️🈁", "!?… — ***", "™ → ✓"])
def test_signs_and_emoji_are_no_words(text: str) -> None:
    assert words_of(text) == []


@given(st.text(max_size=40))
def test_what_is_evened_out_stays_as_it_is(text: str) -> None:
    words = words_of(text)
    assert words_of(" ".join(words)) == words


@given(st.text(max_size=40))
def test_a_word_is_never_empty_and_holds_no_blank(text: str) -> None:
    assert all(word and not any(char.isspace() for char in word) for word in words_of(text))


@given(st.lists(st.text(max_size=10), max_size=4), st.integers(0, 3), st.integers(0, 3))
def test_texts_in_a_row_are_found_in_a_text_of_them(texts: list[str], start: int, length: int) -> None:
    part = texts[start : start + length]
    assert searchable("\n".join(part)).strip() in searchable("\n".join(texts))
