"""Which lines say a message: found again whatever its white space, and whatever the order of a call's arguments."""

from collections.abc import Iterable

from trace_summarization.text_repr.entries import Message

_WORDS_OF_A_START = 8
_CALLS = " calls"

Lines = tuple[int, int]
_Texts = tuple[tuple[str, str], ...]  # label and text of each entry
_Start = tuple[tuple[str, tuple[str, ...]], ...]


class KnownMessages:
    """The messages so far, and the lines that said each of them first.

    Most messages are told apart by their first words; the rest is looked at where these are equal only. The ids that a
    framework gives anew each time it writes a message are no part of what is compared: reading leaves them out.
    """

    def __init__(self) -> None:
        # A history brings the same message object again. Holding it keeps its id from being given anew.
        self._lines_by_identity: dict[int, tuple[Message, Lines]] = {}
        self._first_by_start: dict[_Start, tuple[_Texts, Lines]] = {}
        self._lines_by_key: dict[_Texts, Lines] = {}  # of messages that share their start
        self._key_by_text: dict[tuple[str, str], str] = {}

    def run(self, messages: Iterable[Message]) -> list[Lines]:
        """First and last line of each message, as far as the messages are known without a gap."""
        run: list[Lines] = []
        for message in messages:
            same = self._lines_by_identity.get(id(message))
            if same is not None and same[0] is message:
                run.append(same[1])
                continue
            texts = _compared(message)
            lines = self._found(texts, _start_of(texts))
            if lines is None:
                break
            self._lines_by_identity[id(message)] = (message, lines)
            run.append(lines)
        return run

    def note(self, message: Message, lines: Lines) -> None:
        """Note the lines that a message was written on; those that said it before stay the ones to be named."""
        texts = _compared(message)
        start = _start_of(texts)
        known = self._found(texts, start)
        if known is None:
            known = lines
            if self._first_by_start.setdefault(start, (texts, lines))[0] is not texts:
                self._lines_by_key[self._key_of(texts)] = lines
        self._lines_by_identity[id(message)] = (message, known)

    def _found(self, texts: _Texts, start: _Start) -> Lines | None:
        first = self._first_by_start.get(start)
        if first is None:
            return None
        if first[0] == texts:
            return first[1]
        self._lines_by_key.setdefault(self._key_of(first[0]), first[1])
        return self._lines_by_key.get(self._key_of(texts))

    def _key_of(self, texts: _Texts) -> _Texts:
        return tuple(
            [(label, self._key_by_text.get((label, text)) or self._new_key(label, text)) for label, text in texts]
        )

    def _new_key(self, label: str, text: str) -> str:
        key = " ".join(text.split())
        if label.endswith(_CALLS):
            name, _, arguments = key.partition("(")
            key = f"{name}({', '.join(sorted(arguments.removesuffix(')').split(', ')))})"
        self._key_by_text[(label, text)] = key
        return key


def _compared(message: Message) -> _Texts:
    # Thinking is recorded with an answer, yet left out when the answer comes back as history.
    said = tuple([(label, text) for label, text, thinking in message if not thinking])
    return said or tuple([(label, text) for label, text, _ in message])


def _start_of(texts: _Texts) -> _Start:
    """The first words of each text, equal for texts of equal keys; of a call its name."""
    return tuple(
        [
            (label, (text.partition("(")[0],))
            if label.endswith(_CALLS)
            else (label, tuple(text.split(None, _WORDS_OF_A_START)[:_WORDS_OF_A_START]))
            for label, text in texts
        ]
    )
