"""What an endpoint's error says it does not take, where it names a parameter and where it only speaks of it."""

import re
from typing import Final

import openai

_READ_OF_AN_ERROR: Final = 2_000  # characters: the head names the parameter, and the rest can hold the prompt
_ECHO: Final = re.compile(r"""['"]input\\*['"]\s*:""")  # where Pydantic goes on to quote what it was given
_NEAR: Final = r".{0,100}?"
# The words of a trace can stand anywhere in an error that quotes it, so that a parameter's name alone means nothing.
_COMPLAINT: Final = (
    r"(\bnot|n't|\bun) ?(support|available|permitted|allowed|accepted|recogni[sz]ed)|\bunknown|\bunexpected|\binvalid\b"
    r"|\bextra|\benabled only|\bshould be\b"
)


def complaint_about(names: str) -> str:
    """Pattern of texts that complain about what the pattern `names` names."""
    return rf"({names}){_NEAR}({_COMPLAINT})|({_COMPLAINT}){_NEAR}({names})"


def parameter_named_in(error: openai.APIStatusError) -> str:
    """The parameter that the error names in its field for it; empty when none."""
    # LiteLLM writes out that there is none.
    return error.param if isinstance(error.param, str) and error.param != "None" else ""


def head_of(error: openai.APIStatusError) -> str:
    """The error's text as far as it speaks of the request and does not quote it."""
    text = error.response.text[:_READ_OF_AN_ERROR]
    echo = _ECHO.search(text)
    return text[: echo.start()] if echo else text
