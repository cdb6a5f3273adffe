"""Secrets that a name announces, in data, code, shell and prose.

`DB_PASSWORD=x`, `"api_key": "x"`, `--token x`, `<password>x</password>`, `my password is x`.
"""

import re

from trace_summarization.redaction.placeholders import is_placeholder
from trace_summarization.redaction.secret_names import Name, name_of, secret_words
from trace_summarization.redaction.spans import Span
from trace_summarization.redaction.spoken_secrets import Announcement, find_spoken
from trace_summarization.redaction.value_forms import (
    BASE64_KEY,
    IDENTIFIERS,
    has_digit_or_sign,
    is_mixed,
    is_path_or_url,
    is_random_part,
    is_token,
    is_type_name,
    is_uuid,
)
from trace_summarization.redaction.written_values import Value, read_value, without_scheme


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAIL = re.compile(r"[A-Za-z0-9_-]{0,40}")
_IDENTIFIER = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.$-"
_DESCRIBING = _words(
    """
    above accepted also always below blocked broken case-sensitive changed clear complex compromised confidential
    correct denied different disabled empty enabled encrypted errado error expired failed failure falsch falso field
    fields fine generated given gone hashed here hidden incorrect incorrecta incorrecto incorreta invalid just known
    locked long lost mandatory masked missing needed never not obligatoire okay only optional permanent plain
    plaintext private protected provided random rejected required reset richtig right safe same saved secure
    sensitive sent set shared short simple stolen stored strong success supported temporary that the there this
    unique unknown unsupported updated used valid visible weak what working wrong your
    """
)
_PROSE = _words(
    """
    a an and are at be can characters chars digits enter field for if in invalid is it least length max min must my
    new no not of old or password passwords please required should that the this to user will with your
    """
)
_CLOSE = r"""\]?(?:\\{0,7}["'`]|&quot;|\\u0022)?[\])]?[*_`]{0,3}"""
_BLANK = r"[ \t]"
_TYPE = r"(?:&(?:'static )?)?[A-Za-z_][\w.]{0,40}(?:\[[^\]\n]{0,60}\])?\??(?:[ \t]?\|[ \t]?\w{1,20}){0,3}"
_VERB = (
    r"(?:is|was|ist|lautet|est|c'est|to|es|é|è|это|=|jest|är|er|on|to|from|set\ to|i|que\ es)"
    r"(?:\ (?:still|now|currently|just))?"
)
# What stands between a name and its value; the group that matched is the form.
_AFTER = re.compile(
    rf"""
    {_CLOSE}(?:
      (?P<typed>{_BLANK}{{0,30}}:{_BLANK}{{0,4}}{_TYPE}{_BLANK}{{0,4}}={_BLANK}{{0,4}}(?=["']))
      |(?P<pair>(?:,\s{{0,40}}|{_BLANK}{{0,4}}\n\s{{0,40}}|\\n[ ]{{0,40}}|[ ]{{1,8}})
        \\{{0,7}}["']?(?:value|text|content)\\{{0,7}}["']?[ ]{{0,8}}[:=]\s{{0,8}})
      |(?P<argument>(?<=["'])[ ]{{0,4}},?[ ]{{0,4}}(?=\\{{0,7}}["']))
      |(?P<tag>>)(?=[^<>\s])
      |(?P<cell>{_BLANK}{{0,40}}\|{_BLANK}{{0,20}})
      |(?P<says>{_BLANK}{{1,8}}(?:{_VERB}{_BLANK}{{0,4}}:?|[:=])[ \t\n]{{1,4}}|は[ ]?|是[ ]?|为[ ]?|：\s?)
      |(?P<sign>{_BLANK}{{0,30}}(?::=|=>|->|={{1,3}}|::?|%3[DA]|\\u003d|(?<=[a-z0-9_])\?=)[*_]{{0,3}}
        (?P<gap>{_BLANK}{{0,30}}))
      |(?P<blank>{_BLANK}{{1,8}}(?:[-–—→]{_BLANK}{{1,4}})?)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_NO_CODE = re.compile(r"[^\s/()\[\]{}=\\,:;<>|\"'`]+")
_ALGORITHM = re.compile(r"argon|bcrypt|scrypt|sha|md5|pbkdf|base64|oauth|utf|v\d|.*[-_]", re.IGNORECASE)
_LETTERS_AND_DIGITS = re.compile(r"[A-Za-z0-9]{20,}")
# `arn:aws:secretsmanager:...:secret:name`; `https://token:...@host`, whose password is that of a URL.
_IN_ARN_OR_URL = re.compile(r"arn:aws[\w-]{0,10}:[\w-]{1,20}:[\w:-]{0,60}$|://_{0,2}$")
_ACCOUNT_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}")  # Twilio's ids of accounts, messages and calls


def find_named_secrets(text: str, wary: bool = False) -> list[Span]:
    """Spans of the values of names such as `password`, `api_key`, `client_secret`; names stay readable.

    `wary`: short and plain values of unsure names count too.
    """
    lower = text.lower()
    if len(lower) != len(text):  # the one letter that becomes two
        lower = text.replace("\u0130", "i").lower()
    spans: list[Span] = []
    done = 0
    without_value: Announcement | None = None  # the last name, if its value does not stand right after it
    for word_start, word_end in secret_words(lower):
        if word_start < done:
            continue
        tail = _TAIL.match(text, word_end)
        end = tail.end() if tail else word_end
        before = _before(text, word_start)
        name = name_of(before, text[word_start:word_end], text[word_end:end])
        if name is None:
            continue
        start = word_start - len(before.rsplit(" ", 1)[-1])
        if text[start - 1 : start] in (":", "/") and _IN_ARN_OR_URL.search(text, max(0, start - 80), word_start):
            continue
        if without_value and (span := find_spoken(text, without_value, start)):
            spans.append(span)
            if span.end > word_start:  # the name is a part of the value
                without_value, done = None, span.end
                continue
        after = _AFTER.match(text, end)
        value = _value_of(text, after, name, before, wary) if after and name.word != "bare key" else None
        if value is not None:
            spans.append(Span(value.start, value.end, name.kind))
        without_value = None if value else Announcement(start, end, done, name)
        done = value.end if value else end
    if without_value and (span := find_spoken(text, without_value, len(text))):
        spans.append(span)
    return spans


def _before(text: str, at: int) -> str:
    """The part of the name right before `at`, and up to two words of the same line before it."""
    head = text[max(0, at - 60) : at]
    identifier = head[len(head.rstrip(_IDENTIFIER)) :]
    if not head.endswith(" " + identifier):
        return identifier
    words = head[: len(head) - len(identifier) - 1].rsplit("\n", 1)[-1].rsplit(" ", 2)[-2:]
    return " ".join([*words, identifier])


def _value_of(text: str, after: re.Match[str], name: Name, before: str, wary: bool) -> Value | None:
    """The value that stands after the name, if it is one that has to be hidden."""
    form = after.lastgroup or ""
    at = after.end()
    value = read_value(text, at, form, after)
    if value is None or (form == "tag" and text[value.end : value.end + 2] not in ("</", "<\\")):
        return None
    value = without_scheme(value)
    if len(value.text) < 2 or is_placeholder(value.text):
        return None
    if form == "says" and name.word == "pass" and not (is_mixed(value.text) and value.text.isalnum()):
        return None  # `pass to` is a verb
    if name.word == "sid" and _ACCOUNT_SID.fullmatch(value.text):
        return None
    if form == "blank" and not _is_flag(before, name):
        certain = _is_quoted_password if value.quoted else _is_surely_random
        if certain(value.text, name):
            return value
        return (
            value
            if not value.quoted and _ends_sentence(text, value) and _is_word_with_digits(value.text, name)
            else None
        )
    accepted = (
        _is_quoted_secret(value.text, name, "sign" if after.group().strip() in (":", "=") else form, wary)
        if value.quoted
        else _is_bare_secret(text, value, after, name, form, wary)
    )
    return value if accepted else None


def _is_surely_random(value: str, name: Name) -> bool:
    """Whether the value shows by itself what it is, so that nothing between it and the name has to say so."""
    if name.kind == "password":
        letters_and_digits = "".join(filter(str.isalnum, value))
        return len(value) >= 8 and _NO_CODE.fullmatch(value) is not None and is_mixed(letters_and_digits)
    alphabet = BASE64_KEY if name.strong else _LETTERS_AND_DIGITS
    return (name.strong or name.word != "key") and alphabet.fullmatch(value) is not None and is_mixed(value)


def _ends_sentence(text: str, value: Value) -> bool:
    return _SENTENCE_END.match(text, value.end) is not None


def _is_word_with_digits(value: str, name: Name) -> bool:
    """`coffee4you`, but not `argon2id`."""
    return (
        name.kind == "password"
        and name.strong
        and len(value) >= 8
        and _NO_CODE.fullmatch(value) is not None
        and any(map(str.isalpha, value))
        and any(map(str.isdigit, value))
        and not _ALGORITHM.match(value)
    )


def _is_quoted_password(value: str, name: Name) -> bool:
    return name.kind == "password" and name.strong and len(value) >= 6 and " " not in value and is_mixed(value)


def _is_flag(before: str, name: Name) -> bool:
    """Whether a blank may stand between name and value: `--password x`, `ENV API_KEY x`."""
    identifier = before.rsplit(" ", 1)[-1]
    return identifier.startswith("--" if name.kind == "secret" else "-") or (
        name.loud and re.search(r"\b(?:ENV|ARG|setx|env) \S{0,60}$", before) is not None
    )


_CODE = re.compile(
    r"^[A-Za-z_$][\w$]*(?:(?:\.|->|::)[A-Za-z_$][\w$]*)*(?:\(|\[|\.$)|^(?:await|new|function|lambda|return|not|if)$|^[({\[]|=>|==(?!$)|\$\{|\{\{"
)
_ATTRIBUTE = re.compile(r"^[a-z_][\w]*(?:\.[A-Za-z_]\w*)+$")
_SENTENCE_END = re.compile(
    r"""[.!,;)\]*_`]{0,4}(?:\s*\n|\s*$|\\n|\s*[<|"'}#]|[,;]|\s+(?:and|but|or|und|et|y|e|—|-|//)\s)"""
)


def _is_quoted_secret(value: str, name: Name, form: str, wary: bool) -> bool:
    if any(char in value for char in "\n\t") or is_path_or_url(value):
        return False
    if form == "argument":
        return name.strong and " " not in value and len(value) >= 6 and is_mixed(value)
    if form == "says" and " " in value:
        return False
    if " " in value.strip():
        return _is_passphrase(value, name)
    value = value.strip()
    if "${" in value or "{{" in value or re.search(r"\{\w+\}", value):
        return False
    if name.kind == "password":
        if not name.strong:
            return len(value) >= 4 and has_digit_or_sign(value)
        return len(value) >= 3
    if name.word in ("cvv", "cvc", "otp", "cvv2"):
        return value.isdigit() and 3 <= len(value) <= 8
    if name.word in ("mnemonic", "seed phrase"):
        return False
    if wary:
        return len(value) >= 2 and any(map(str.isdigit, value))
    if name.strong or name.word == "secret":
        return is_token(value, 6) or (len(value) >= 12 and not IDENTIFIERS.match(value))
    return is_token(value, 16) and (name.word != "key" or not is_uuid(value))


def _is_bare_secret(text: str, value: Value, after: re.Match[str], name: Name, form: str, wary: bool) -> bool:
    word = value.text
    if form == "argument" or is_path_or_url(word) or _CODE.search(word):
        return False
    next_char = text[value.end : value.end + 1]
    tight = form == "sign" and not after.group("gap")
    environment = name.loud and form in ("sign", "blank")
    if next_char in "([" and next_char and IDENTIFIERS.match(word):
        return False
    if name.word == "auth" and value.text.islower() and value.text.isalnum():
        return False  # `acme/auth:0a1b...`, an image
    if name.word in ("cvv", "cvc", "otp", "cvv2"):
        return word.isdigit() and 3 <= len(word) <= 8
    if name.kind == "password":
        if word.isdigit():
            return len(word) >= 4
        if re.fullmatch(r"[\d.,:%-]+", word) and form != "sign":
            return False
        if environment and (tight or form == "blank"):
            return len(word) >= 2
        if _ATTRIBUTE.match(word):
            return False
        if has_digit_or_sign(word):
            return len(word) >= (3 if name.strong else 6) and not (not tight and _is_code_line(text, value))
        if _KEYWORD_WITHIN.search(word) or not word.isalpha() or len(word) < 4 or is_type_name(word):
            return False
        if not name.strong:
            return False
        if _in_call(text, after.start()):
            return False
        if form in ("tag", "blank"):
            return True
        return _ends_sentence(text, value) and word.lower() not in _DESCRIBING
    if name.word in ("mnemonic", "seed phrase"):
        return False
    if wary and any(map(str.isdigit, word)) and not re.fullmatch(r"[\d.,%$-]+", word):
        return True
    if environment and name.strong and (tight or form == "blank"):
        return len(word) >= (3 if wary else 6) and (wary or not IDENTIFIERS.match(word) or len(word) >= 16)
    if _ATTRIBUTE.match(word) and not is_random_part(word):
        return False
    if name.strong or name.word == "secret":
        return is_token(word, 8 if not tight else 6)
    return is_token(word, 16) and (name.word != "key" or not is_uuid(word))


_KEYWORD_WITHIN = re.compile(r"passw|passwd|pwd|secret|token|_key|credential", re.IGNORECASE)


def _is_passphrase(value: str, name: Name) -> bool:
    words = value.split()
    if name.word in ("mnemonic", "seed phrase"):
        return len(words) >= 12 and all(word.isalpha() and word.islower() for word in words)
    if name.kind != "password" or len(words) > 10 or value != value.strip():
        return False
    if any(word.lower().strip(".,!?") in _PROSE for word in words):
        return False
    if name.word == "passphrase" or len(words) >= 4:
        return all(word.isalnum() for word in words) and value.islower()
    return len(words) <= 3 and has_digit_or_sign(value.replace(" ", "")) and not value.endswith((".", ":", "?"))


def _is_code_line(text: str, value: Value) -> bool:
    """`password = hash2` between code: an identifier with a digit, that a call or operator follows."""
    return (
        IDENTIFIERS.match(value.text.rstrip("0123456789")) is not None
        and text[value.end : value.end + 1] in ("(", "[", ".")
        and text[value.end : value.end + 2] != ". "
    )


def _in_call(text: str, at: int) -> bool:
    line_start = max(text.rfind("\n", max(0, at - 200), at), at - 200, 0)
    before = text[line_start:at]
    return before.count("(") > before.count(")")
