"""Words as search compares them: the same for what is stored and for what is asked."""

import re
import unicodedata
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The text's words in their order, evened out. `update_flights` gives two, so that either is found."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def searchable(text: str) -> str:
    """The text's words between blanks, so that words in a row are a plain substring: ` gift card balance `."""
    return f" {' '.join(words_of(text))} "
