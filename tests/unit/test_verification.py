"""Which references are taken as showing what a statement says."""

from collections.abc import Mapping

import pytest

from trace_summarization.line_refs import LineRange, parse_refs, written_refs
from trace_summarization.verification import MAX_RANGE_LINES, LineEvidence

TRACE = {
    1: "trace shop-assistant (4 generations, 2 spans, 2.1 s)",
    2: "trace input: Hello, can you tell me where my parcel is?",
    3: "#1 generation gpt-4.1-mini",
    4: "system: You are a shop's assistant.",
    5: " Never promise a discount above 15 percent.",
    6: " Escalate complaints about damaged goods to the warehouse.",
    7: "user: Hello, can you tell me where my parcel is?",
    8: "output assistant: Gladly. Which order number does it have?",
    9: "#2 generation gpt-4.1-mini",
    10: "[3 messages as in L4-8]",
    11: "user: It is HX-4711, placed by Noah Müller from Zürich",
    12: 'output assistant calls: find_order(id="HX-4711", carrier="any")',
    13: "#3 span find_order",
    14: 'output: {"status": "in_transit", "weight_kg": 12.5, "value": 1234, "shipped": "2024-05-20"}',
    15: "#4 generation gpt-4.1-mini",
    16: "tool find_order: [same as L14]",
    17: "output assistant: Your parcel travels through Basel and should reach you tomorrow.",
    18: "user: Thanks. My last invoice was wrong, can it be refunded?",
    19: "output assistant calls: cancel_invoice(number=88)",
    20: "#5 span cancel_invoice (error)",
    21: "error: PermissionDenied: invoices older than a quarter are locked",
    22: "output assistant: I am sorry, that invoice is locked and cannot be reversed.",
    23: "user: That is a pity.",
    24: "trace output: [same as L22]",
    25: "feedback: [same as L24]",
    26: "tool note: see [as in L14]",
}


POINTERS = {16: ((14, 14),), 24: ((22, 22),), 25: ((24, 24),)}


def kept(statement: str, refs: str, lines: Mapping[int, str] = TRACE) -> str:
    return written_refs(LineEvidence(lines, POINTERS).supporting(statement, parse_refs(refs).ranges))


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("The customer looks for a parcel.", "L7"),
        ("The order HX-4711 belongs to Noah Muller of Zurich.", "L11"),
        ("find_order is called with HX-4711.", "L12"),
        ("The find order tool reports a shipment that is in transit.", "L13-14"),
        ("A weight of 12.50 kg is recorded.", "L14"),
        ("The goods are worth $1,234.", "L14"),
        ("It was shipped on May 20, 2024.", "L14"),
        ("The parcel is travelling by way of Basel.", "L17"),
        ("Cancelling the invoice failed, since invoices of earlier quarters are locked.", "L20-21"),
        ("An error stops the cancellation: PermissionDenied.", "L21"),
        ("DISCOUNTS MUST NOT GO BEYOND 15 %.", "L5"),
    ],
)
def test_lines_that_say_it_in_other_words_and_forms_show_it(statement: str, refs: str) -> None:
    assert kept(statement, refs) == refs


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("The order HX-4711 belongs to Noah Müller of Zürich.", "L21"),
        ("The parcel is travelling by way of Basel.", "L5"),
        ("PermissionDenied stops the cancellation of an invoice.", "L14"),
        ("The reservation of Sophia Moore is moved to flight HAT215.", "L11"),
        ("The weight is 12.5 kg.", "L6, L18"),
        ("Nothing of interest happens.", "L7"),
        ("", "L7"),
    ],
)
def test_other_lines_do_not(statement: str, refs: str) -> None:
    assert kept(statement, refs) == ""


@pytest.mark.parametrize("refs", ["L99", "L0", "L22-30", "L8-5", "L0-3"])
def test_lines_that_were_not_shown_show_nothing(refs: str) -> None:
    assert kept("The customer asks where the parcel is.", refs) == ""


def test_a_range_may_run_over_lines_that_were_left_out() -> None:
    lines = {number: line for number, line in TRACE.items() if number != 13}
    assert kept("find_order is called with HX-4711.", "L12-14", lines) == "L12-14"
    assert kept("find_order is called with HX-4711.", "L12-13", lines) == ""


def test_of_several_references_only_those_are_kept_that_contribute() -> None:
    statement = "Noah Müller's order HX-4711 is in transit and worth 1234."
    assert kept(statement, "L11, L14, L23") == "L11, L14"


def test_one_right_reference_is_found_among_wrong_ones() -> None:
    statement = "PermissionDenied: invoices older than a quarter stay locked."
    assert kept(statement, "L6, L8, L21") == "L21"


def test_a_heading_may_be_cited_for_what_stands_below_it() -> None:
    assert kept("The call fails with PermissionDenied because older invoices are locked.", "L20") == "L20"


@pytest.mark.parametrize("refs", ["L16", "L24", "L25"])
def test_a_pointer_stands_for_the_lines_it_names(refs: str) -> None:
    statements = {"L16": "The status in_transit comes back, shipped 2024-05-20.", "L24": "The invoice stays locked."}
    statements["L25"] = statements["L24"]
    assert kept(statements[refs], refs) == refs
    assert kept("Noah Müller lives in Zürich.", refs) == ""


def test_a_text_that_looks_like_a_pointer_stands_for_nothing() -> None:
    assert kept("The status in_transit comes back, shipped 2024-05-20.", "L26") == ""


def long_trace(**content: str) -> dict[int, str]:
    """400 lines of filler, with some lines replaced."""
    lines = {number: f"output: row {number * 7919 % 1009} of table {number * 31 % 97}" for number in range(1, 401)}
    return lines | {int(name.removeprefix("L")): text for name, text in content.items()}


FACT = "user: the turbine in Aberdeen vibrates at 83 hertz"
STATEMENT = "A turbine in Aberdeen vibrates with 83 hertz."


def test_a_wide_range_is_narrowed_to_the_lines_that_match() -> None:
    assert kept(STATEMENT, "L1-300", long_trace(L150=FACT)) == "L150"


def test_a_narrowed_range_is_never_wider_than_what_is_sane() -> None:
    lines = long_trace(L150="user: the turbine vibrates", L160="user: in Aberdeen, at 83 hertz", L290=FACT[:18])
    (narrowed,) = LineEvidence(lines).supporting(STATEMENT, [LineRange(1, 300)])
    assert narrowed.first >= 150
    assert narrowed.last - narrowed.first < MAX_RANGE_LINES


def test_a_range_does_not_pass_for_covering_most_of_the_trace() -> None:
    lines = long_trace(L150=FACT)
    assert kept("The table has a row.", "L1-390", lines) == ""
    assert kept("Rows of tables come back.", "L200-255", lines) == ""
    assert kept(STATEMENT, "L160-390", lines) == ""


JAPANESE = {
    1: "trace 旅行アシスタント",
    2: "system: You plan journeys. Refuse bookings without passport. Confirm every booking with the traveller.",
    3: "user: 来週の京都への旅行を計画したいです。予算は85,000円です。",
    4: "output assistant: 京都のホテルは Granvia を薦めます。",
    5: "user: 部屋を二泊予約してください。",
    6: 'output assistant calls: book_room(hotel="Granvia", nights=2)',
    7: "output: 予約番号は KX9921 です。",
    8: "user: ありがとう。新幹線の切符も必要です。",
}


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("京都への旅行の予算は85000円。", "L3"),
        ("新幹線の切符が必要になる。", "L8"),
        ("The traveller plans a journey with a budget of 85,000 yen.", "L3"),
        ("Granvia is recommended as hotel for the traveller.", "L4"),
        ("The booking is confirmed as KX9921.", "L7"),
    ],
)
def test_lines_in_another_script_show_numbers_and_names(statement: str, refs: str) -> None:
    assert kept(statement, refs, JAPANESE) == refs


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("京都への旅行の予算は85000円。", "L8"),
        ("The traveller plans a journey with a budget of 85,000 yen.", "L8"),
        ("The booking is confirmed as KX9921.", "L3"),
        ("The traveller says thanks.", "L8"),
    ],
)
def test_lines_in_another_script_without_them_do_not(statement: str, refs: str) -> None:
    assert kept(statement, refs, JAPANESE) == ""


GERMAN = {
    1: "trace support",
    2: "system: You help customers. Check the booking before you change the date. Offer a voucher after a complaint.",
    3: "user: Ich möchte meine Buchung HX77 auf den 12. August verschieben, weil ich krank bin.",
    4: "output assistant: Das ist leider nicht möglich, die Frist ist am Montag um 18 Uhr abgelaufen.",
    5: "user: Dann bitte eine Gutschrift über 250 Euro für die Stornierung der Reise.",
}


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("The customer asks to change the date of booking HX77 because of an illness.", "L3"),
        ("After the complaint the customer wants a voucher of 250 euros for the trip.", "L5"),
        ("Die Buchung HX77 soll verschoben werden, weil der Kunde krank ist.", "L3"),
    ],
)
def test_lines_in_another_language_show_what_both_have_in_common(statement: str, refs: str) -> None:
    assert kept(statement, refs, GERMAN) == refs


@pytest.mark.parametrize(
    ("statement", "refs"),
    [
        ("Клиент просит вернуть деньги за заказ.", "L2"),
        ("Ο πελάτης ζητά πίσω τα χρήματα για την παραγγελία.", "L3"),
        ("العميل يطلب استرداد ثمن الطلب", "L4"),
    ],
)
def test_other_alphabets_are_compared_as_words(statement: str, refs: str) -> None:
    lines = {
        1: "trace shop",
        2: "user: Верните, пожалуйста, деньги за мой заказ!",
        3: "user: Θέλω τα χρήματα πίσω για την παραγγελία μου.",
        4: "user: أريد استرداد ثمن الطلب من فضلك",
        5: "output assistant: Of course.",
        6: "user: Thank you very much for the quick help with everything.",
    }
    assert kept(statement, refs, lines) == refs
    others = [f"L{number}" for number in (1, 2, 3, 4, 5, 6) if f"L{number}" != refs]
    assert [kept(statement, other, lines) for other in others if abs(int(other[1:]) - int(refs[1:])) > 1] == [""] * (
        len([other for other in others if abs(int(other[1:]) - int(refs[1:])) > 1])
    )


def test_a_trace_of_two_lines_can_be_cited() -> None:
    lines = {1: "trace hello (1 generation)", 2: "user: Which capital has France?"}
    assert kept("The user asks for the capital of France.", "L2", lines) == "L2"


def test_no_lines_show_nothing() -> None:
    assert kept("The user asks for the capital of France.", "L1", {}) == ""
