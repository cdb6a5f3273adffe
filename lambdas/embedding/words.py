"""Words as search compares them: the same for what is stored and for what is asked.

Case, width and accents are evened out, and names are taken apart, so that `update_reservation_flights`,
`updateReservationFlights` and `update reservation flights` meet. A name with humps is also a word as a whole:
`GitHub` gives `git hub github`. In scripts without spaces between words each character is one, so that any part of a
text is words in a row. Emoji and other symbols are none, and neither is the `\\n` of a text within JSON.
"""

import re
import unicodedata
from typing import Final

# Thai and Lao, Myanmar, Khmer, kana, Han, Hangul: Korean has spaces, but writes particles onto its words.
_UNSPACED: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u3041-\u309f\u30a1-\u30fa"
    "\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003134f"
)
# Devanagari to Sinhala write vowels as marks, which Python does not count to a word.
_INDIC: Final = "\u0900-\u0963\u0966-\u096f\u0971-\u0df3"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|(?:[{_INDIC}]|[^\W_{_UNSPACED}])+")
# Accents and breathings; the vowel points of Hebrew and Arabic, which most people leave out.
_MARK: Final = re.compile("[\u0300-\u036f\u0483-\u0487\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670]")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
# In a path of Windows as well, on both sides alike.
_ESCAPE: Final = re.compile(r"\\\\|\\[nrt]")
_LETTERS: Final = frozenset("LMN")  # letters, marks, numbers: the first letter of their category
_FILLERS: Final = frozenset("\u115f\u1160\u3164\uffa0")  # letters of Hangul that nobody sees
_KEYCAP: Final = re.compile("[0-9#*]\ufe0f?\u20e3")


def words_of(text: str, *, wholes: bool = True) -> list[str]:
    """The text's words in their order. What is evened out already stays as it is.

    `wholes`: whether a name with humps is also a word as a whole. Without, `getUserDetails` is `get_user_details`.
    """
    words: list[str] = []
    for found in _WORD.findall(_plain(_ESCAPE.sub(" ", text))):
        word: str = found
        # A mixed code such as `aB3xY9` has no humps.
        if not (word.islower() or word.isupper()) and word.isalpha() and (parts := _HUMP.split(word))[1:]:
            words += [part.casefold() for part in parts]
            if not wholes:
                continue
        words.append(word if word.isascii() and word.islower() else _folded(word))
    return words


def searchable(text: str) -> str:
    """The text's words between blanks, so that words in a row are a plain substring: ` gift card balance `."""
    return f" {' '.join(words_of(text))} "


def _plain(text: str) -> str:
    """Wide and composed characters as plain ones, without accents, and without symbols."""
    if text.isascii():
        return text
    # Before they are made plain: some emoji would become words. What stands for nothing (yet) is no word either.
    text = "".join(char if _is_of_words(char) else " " for char in _KEYCAP.sub(" ", text))
    return _without_marks(text)


def _is_of_words(char: str) -> bool:
    return unicodedata.category(char)[0] in _LETTERS and char not in _FILLERS


def _folded(word: str) -> str:
    """Without case; what that takes apart is made plain again."""
    folded = word.casefold()
    return folded if folded.isascii() else _without_marks(folded)


def _without_marks(text: str) -> str:
    return unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFKD", text)))
