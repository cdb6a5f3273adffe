from dataclasses import replace
from pathlib import Path

import pytest
import quicktok

from trace_summarization import tokens
from trace_summarization.encodings import CL100K_BASE, O200K_BASE, TokenEncoding
from trace_summarization.errors import InvalidConfiguration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Where is my order? It's 1234567 days late.",
        "def f(x):\n\treturn {'a': [1, 2, 3]}\r\n\r\n  # done",
        "注文はどこですか。 Ça va? Где мой заказ 😀👍🏽",
        "a" * 90,
        " \n\n \t" * 15,
        "<|endoftext|><|im_start|>system",
    ],
)
def test_counts_equal_those_of_another_implementation(text: str) -> None:
    assert tokens.count_tokens(text) == quicktok.get_encoding("o200k_base").count(text)


@pytest.mark.parametrize("encoding", [O200K_BASE, CL100K_BASE], ids=lambda encoding: encoding.name)
@pytest.mark.parametrize(
    "piece", ["a", "word ", "=", "_-", "日本語", "e\u0301", "เที่ยว", "😀", " ", "\n", "line of text\n"]
)
def test_two_million_characters_of_any_kind_are_counted(piece: str, encoding: TokenEncoding) -> None:
    text = (piece * 2_000_000)[:2_000_000]
    exact = quicktok.get_encoding(encoding.name).count(text)
    assert exact <= encoding.count(text) <= exact + len(text) // 40


def test_lone_surrogates_are_counted() -> None:
    assert tokens.count_tokens("half \ud800 pair") > 2


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        ("gpt-4.1-mini", True),
        ("gpt-4.1-mini-2025-04-14", True),
        ("gpt-5-nano", True),
        ("gpt-5.1", True),
        ("o3", True),
        ("openai/gpt-4o", True),
        ("gpt-4", False),
        ("gpt-3.5-turbo", False),
        ("claude-sonnet-4", False),
        ("llama3.1:8b", False),
    ],
)
def test_models_of_another_encoding_get_a_margin(model: str, exact: bool) -> None:
    assert tokens.is_counted_exactly(model) is exact
    assert tokens.with_margin(100, model) == (100 if exact else 115)
    assert tokens.without_margin(115, model) == (115 if exact else 100)


@pytest.mark.parametrize("encoding", [O200K_BASE, CL100K_BASE], ids=lambda encoding: encoding.name)
def test_a_changed_data_file_is_refused(encoding: TokenEncoding, tmp_path: Path) -> None:
    changed = tmp_path / "ranks"
    changed.write_bytes(encoding.ranks_file.read_bytes() + b"AAAA 200000\n")
    with pytest.raises(InvalidConfiguration, match="SHA-256"):
        replace(encoding, ranks_file=changed).count("x")
