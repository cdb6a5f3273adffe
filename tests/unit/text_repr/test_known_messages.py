"""Messages that come again, told apart by their first words before anything else."""

from trace_summarization.text_repr.entries import Entry, Message
from trace_summarization.text_repr.known_messages import KnownMessages

_START = "one two three four five six seven eight"


def _said(text: str, label: str = "user") -> Message:
    return (Entry(label, text),)


def _known(*messages: Message) -> KnownMessages:
    known = KnownMessages()
    for number, message in enumerate(messages, start=1):
        known.note(message, (number, number))
    return known


def test_a_message_is_found_whatever_its_white_space() -> None:
    known = _known(_said(f"{_START} nine\n\nten"))
    assert known.run([_said(f"  {_START.replace(' ', '  ')} nine ten\n")]) == [(1, 1)]


def test_messages_that_differ_in_an_id_only_are_different_ones() -> None:
    known = _known(_said(f"cancel order call_abcdefgh1 {_START}"))
    assert known.run([_said(f"cancel order call_zyxwvuts2 {_START}")]) == []


def test_a_call_is_found_whatever_the_order_of_its_arguments() -> None:
    def call(text: str) -> Message:
        return (Entry("assistant calls", text),)

    known = _known(call('find(a=1, b="x, y")'), call("find(a=2, b=1)"))
    assert known.run([call('find(b="x, y", a=1)'), call("find(b=1, a=2)"), call("find(a=1, b=2)")]) == [(1, 1), (2, 2)]


def test_messages_that_only_begin_alike_are_different_ones() -> None:
    known = _known(_said(f"{_START} nine"), _said(f"{_START} ten"))
    assert known.run([_said(f"{_START}  ten"), _said(f"{_START}  nine"), _said(f"{_START} eleven")]) == [(2, 2), (1, 1)]


def test_a_word_that_is_no_id_tells_messages_apart() -> None:
    known = _known(_said("snake_case is better"))
    assert known.run([_said("other_case is better")]) == []


def test_the_lines_that_said_a_message_first_are_named() -> None:
    again = _said(f"{_START}  nine")
    known = _known(_said(f"{_START} nine"), again)
    assert known.run([again]) == [(1, 1)]


def test_another_speaker_makes_another_message() -> None:
    assert _known(_said(_START)).run([_said(_START, "assistant")]) == []


def test_thinking_is_left_out_of_the_comparison() -> None:
    known = _known((Entry("assistant thinking", "let me see", thinking=True), *_said(_START, "assistant")))
    assert known.run([_said(_START, "assistant")]) == [(1, 1)]
