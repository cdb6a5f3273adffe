"""What a value looks like by itself: machine-made, an identifier of code, a path."""

import re
from itertools import pairwise

IDENTIFIERS = re.compile(r"^[A-Za-z_$][A-Za-z_]*(?:[.:-]{1,2}[A-Za-z_][A-Za-z_]*)*$")
BASE64_KEY = re.compile(r"[A-Za-z0-9]{20,}|[A-Za-z0-9+/]{40}|[A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==")
_TOKEN = re.compile(r"^[A-Za-z0-9_+/=.~:!@#$%^&*-]+$")
_NAMED_AND_NUMBERED = re.compile(r"[a-z]+(?:[-_.][a-z]+)*[-_.]?\d{1,2}")
_PATH_OR_URL = re.compile(r"^(?:~?/|\.{1,2}/|[A-Za-z]:[\\/]|[a-z][a-z0-9+.-]{1,20}://)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPE_NAME = re.compile(r"(?:[A-Z][a-z]+){2,}|String|Str|Text|Bytes|Number|Boolean|Any|Field|Column|Char")
_HEX_KEY = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}")
_LEAST_CHANGES = 0.35  # per character; random letters and digits have 0.6, names in camel case 0.3


def is_token(value: str, shortest: int) -> bool:
    """Whether the value could be machine-made: long enough, of token characters, with digits or of mixed case."""
    if len(value) < shortest or not _TOKEN.match(value):
        return False
    if value.replace(".", "").replace(",", "").isdigit():
        return len(value) >= 10
    if any(map(str.isdigit, value)) and any(map(str.isalpha, value)):
        return not _NAMED_AND_NUMBERED.fullmatch(value) or len(value) >= 24
    if IDENTIFIERS.match(value):
        return value.isalpha() and len(value) >= 20 and is_scattered(value)
    return len(value) >= 8


def is_scattered(value: str) -> bool:
    """Whether small letters, capitals and digits change as often as in random text."""
    kinds = ["0" if char.isdigit() else "A" if char.isupper() else "a" for char in value]
    return sum(left != right for left, right in pairwise(kinds)) >= _LEAST_CHANGES * len(value)


def is_surely_random(value: str) -> bool:
    """Whether a value of at least 20 characters shows by itself that it is a key: hexadecimal or scattered."""
    if _HEX_KEY.fullmatch(value):
        return any(map(str.isdigit, value)) and not value.isdigit()
    return any(map(str.isdigit, value)) and any(map(str.isupper, value)) and is_scattered(value)


def is_mixed(value: str) -> bool:
    """Whether the value is of three kinds of characters, or a long one with digits."""
    kinds = (
        any(map(str.isdigit, value)),
        any(map(str.isupper, value)),
        any(map(str.islower, value)),
        not value.isalnum(),
    )
    return sum(kinds) >= 3 or (sum(kinds) >= 2 and kinds[0] and len(value) >= 12)


def is_random_part(value: str) -> bool:
    """Whether a part between dots is a token, as in `v1.aB3...`."""
    return any(len(part) >= 16 and is_token(part, 16) for part in value.split("."))


def has_digit_or_sign(value: str) -> bool:
    """Whether it has what people add to a word to make it a password."""
    return any(map(str.isdigit, value)) or any(not char.isalnum() and char not in "_-.'" for char in value)


def is_uuid(value: str) -> bool:
    """Whether it has the form of a UUID."""
    return _UUID.fullmatch(value) is not None


def is_type_name(word: str) -> bool:
    """`SecretStr`, `String`: a name of a type."""
    return _TYPE_NAME.fullmatch(word) is not None


def is_path_or_url(value: str) -> bool:
    """Whether it is a path or URL, and not base64 that begins with a slash."""
    return _PATH_OR_URL.match(value) is not None and not (BASE64_KEY.fullmatch(value) and is_mixed(value))
