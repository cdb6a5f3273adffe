"""What is taken out of text, what stays, and that no text is too wild or too long for it."""

import json
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trace_summarization.redaction import Redactor, hide_secrets

_GITHUB = "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"


def test_the_same_value_gets_the_same_placeholder_throughout_a_trace() -> None:
    redactor = Redactor()

    assert redactor.redact("a@example.com wrote to b@example.com") == "[email-1] wrote to [email-2]"
    assert redactor.redact("b@example.com answered A@example.com") == "[email-2] answered [email-1]"
    assert redactor.counts == {"email": 2}


def test_a_password_keeps_its_url_whole() -> None:
    assert Redactor().redact("postgres://app:s3cr3t@db:5432/x") == "postgres://app:[password-1]@db:5432/x"


def test_json_stays_json_even_where_a_number_was_the_value() -> None:
    text = json.dumps({"card": 4111111111111111, "password": "a\"b'1", "n": 1})

    assert json.loads(Redactor().redact(text)) == {"card": "[card-1]", "password": "[password-1]", "n": 1}


def test_json_within_json_stays_json() -> None:
    text = json.dumps({"arguments": json.dumps({"api_key": _GITHUB, "to": "ann@example.com", "phone": 14155552671})})

    arguments = json.loads(json.loads(Redactor().redact(text))["arguments"])

    assert arguments == {"api_key": "[secret-1]", "to": "[email-1]", "phone": "[phone-1]"}


def test_only_a_private_key_takes_lines_away() -> None:
    key = (
        "-----BEGIN RSA PRIVATE "
        + "KEY-----\n"
        + "MIIEowIBAAKCAQEA75x0abcd\n" * 3
        + "-----END RSA PRIVATE "
        + "KEY-----"
    )

    assert Redactor().redact(f"one\n{key}\ntwo\n") == "one\n[private-key-1]\ntwo\n"


def test_a_private_key_that_was_cut_off_is_hidden_to_its_last_line() -> None:
    key = "-----BEGIN PRIVATE " + "KEY-----\\n" + "MIIEowIBAAKCAQEA75x0abcd\\n" * 3 + "MIIE"

    assert Redactor().redact(f'"{key}"') == '"[private-key-1]"'


def test_a_column_of_passwords_is_hidden_in_every_row() -> None:
    text = Redactor().redact("user,password\nada,L0velace!\nbob,b0b-rules\n")

    assert text == "user,password\nada,[password-1]\nbob,[password-2]\n"


def test_an_inserted_password_is_told_by_its_column() -> None:
    text = Redactor().redact("INSERT INTO users (id, pwd, city) VALUES (1, 'tiger99', 'Rome'), (2, 'l1on', 'Oslo');")

    assert text == (
        "INSERT INTO users (id, pwd, city) VALUES (1, '[password-1]', 'Rome'), (2, '[password-2]', 'Oslo');"
    )


def test_a_key_far_from_its_name_is_hidden_but_a_commit_is_not() -> None:
    value = "0a1b2c3d4e" * 4

    assert Redactor().redact(f"Here is the token you need: {value}") == "Here is the token you need: [secret-1]"
    assert Redactor().redact(f"The token fix is in commit {value}") == f"The token fix is in commit {value}"


def test_text_of_a_model_hides_secrets_and_leaves_addresses() -> None:
    assert hide_secrets(f"token {_GITHUB} of a@example.com") == "token [secret] of a@example.com"


_WORDS = (
    'password|=|: |"|\\|\\n|token|api_key|a1b2c3d4e5f6g7h8|@|a@b.co|://|u:p1@h|Bearer |--|0|1|(|)|-|.|\ud800|é|İ'
    "|hunter2|[secret-1]|&|;|,|_|/|x|<|>|</|value|pass|'|sig=|my password is |curl -u a:b1c |Cookie: sid=| |\n"
    "|+1 415 555 2671|4111 1111 1111 1111|-----BEGIN PRIVATE KEY-----|call "
)
_PIECES = st.sampled_from([*_WORDS.split("|"), _GITHUB]) | st.text(max_size=3)


@settings(max_examples=400)
@given(st.lists(_PIECES, max_size=14).map("".join))
def test_redacting_twice_changes_nothing(text: str) -> None:
    redactor = Redactor()
    once = redactor.redact(text)

    assert redactor.redact(once) == once
    assert Redactor().redact(once) == once


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    assert isinstance(Redactor().redact(text), str)
    assert isinstance(hide_secrets(text), str)


_DENSE = (
    'a|-|sk-|1|1 |12-|@|a@|a.|password=|password: |password | |://|://a:b@|+1 |(1|token=a,|\\|"|key:|BEGIN |Cookie: a='
    "|_live_|eyJa.|M|-----BEGIN PRIVATE KEY-----|curl |call 1|4111 |pass|echo a"
    '|"kty":|token,password\n|INSERT INTO t (token) VALUES (|token ?? |password\n| -u a |is a token |key of a '
)


@pytest.mark.parametrize("piece", _DENSE.split("|"))
def test_time_grows_with_length_only(piece: str) -> None:
    def seconds(length: int) -> float:
        text = piece * (length // len(piece))
        began = time.process_time()
        Redactor().redact(text)
        hide_secrets(text)
        return time.process_time() - began

    seconds(1_000)  # loads and compiles

    assert seconds(500_000) < 4


def _printed_by(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": "lambdas"}).stdout


def test_importing_it_takes_no_patterns_and_no_phone_numbers() -> None:
    code = (
        "import sys, trace_summarization.redaction;"
        "print('phonenumbers' in sys.modules, 'trace_summarization.redaction.finders' in sys.modules)"
    )

    answer = _printed_by(code)

    assert answer.split() == ["False", "False"]


def test_phone_numbers_are_not_loaded_for_text_without_any() -> None:
    code = (
        "import sys; from trace_summarization.redaction import Redactor;"
        "Redactor().redact('on 2024-05-01 at 10:00, 1234 of 5678');"
        "print('phonenumbers' in sys.modules)"
    )

    answer = _printed_by(code)

    assert answer.strip() == "False"
