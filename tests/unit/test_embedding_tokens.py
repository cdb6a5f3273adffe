"""Cutting texts to an embedding model's window, and sharing them out over requests."""

import gzip
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import quicktok
from hypothesis import given, settings
from hypothesis import strategies as st

from embedding.tokens import CutText, count_tokens, cut_to_window, is_counted_exactly, request_groups
from trace_summarization import constants as c

ROOT = Path(__file__).parents[2]
OPENAI = "text-embedding-3-small"
OTHER = "bge-m3"
_CL100K = quicktok.get_encoding("cl100k_base")
_TEXTS = st.text(max_size=400) | st.text(alphabet="a _-\n👍🏽日é'9", max_size=400)


def _recorded_texts() -> Iterator[str]:
    for path in sorted((ROOT / "samples").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            yield from (json.dumps(json.loads(line), ensure_ascii=False) for line in lines)


def test_recorded_texts_count_as_another_implementation_counts_them() -> None:
    texts = [text for text in _recorded_texts() if len(text) < 20_000][::40]
    assert len(texts) >= 50
    counts = [(count_tokens(text, OPENAI), _CL100K.count(text)) for text in texts]
    # A run of hundreds of letters or signs is cut so that it is counted in time: a token more each, never one less.
    assert all(exact <= counted <= exact + exact // 200 for counted, exact in counts)
    assert sum(counted == exact for counted, exact in counts) >= 0.9 * len(counts)


@given(_TEXTS)
def test_any_text_counts_as_another_implementation_counts_it(text: str) -> None:
    assert _CL100K.count(text) <= count_tokens(text, OPENAI) <= _CL100K.count(text) + len(text) // 50


@settings(max_examples=300)
@given(_TEXTS, st.integers(min_value=4, max_value=60), st.sampled_from([OPENAI, OTHER]))
def test_a_cut_text_is_the_start_of_the_whole_and_fits(text: str, max_tokens: int, model: str) -> None:
    cut = cut_to_window(text, model, max_tokens)
    assert text.startswith(cut.text)
    assert cut.is_cut == (cut.text != text)
    assert cut.is_cut <= (count_tokens(text, model) > max_tokens)
    assert _CL100K.count(cut.text) <= cut.tokens <= max_tokens


@given(st.text(alphabet="日é👍🏽9a -", min_size=80))
def test_a_cut_leaves_out_no_more_than_it_must(text: str) -> None:
    cut = cut_to_window(text, OPENAI, 15)
    assert not cut.is_cut or cut.tokens >= 12, "a character takes up to four tokens"


@pytest.mark.parametrize("character", ["é", "日", "👍", "🏽"])
def test_a_cut_splits_no_character(character: str) -> None:
    for max_tokens in range(4, 12):
        cut = cut_to_window(character * 50, OPENAI, max_tokens)
        assert cut.text == character * len(cut.text)
        assert len(cut.text) > 0


@pytest.mark.parametrize("piece", ["a", "_-", "日本語", "👍", "e\u0301", " ", "\n", "\r\n", "word ", '{"a":1},'])
def test_five_megabytes_are_cut_in_time(piece: str) -> None:
    text = piece * (5_000_000 // len(piece.encode()))
    cut_to_window("x " * 10_000, OPENAI)  # loads the ranks
    began = time.monotonic()
    cut = cut_to_window(text, OPENAI)
    assert time.monotonic() - began < 3, "a fraction of a second on a machine that does nothing else"
    assert cut.is_cut
    assert c.MAX_EMBEDDING_INPUT_TOKENS * 0.95 < cut.tokens <= c.MAX_EMBEDDING_INPUT_TOKENS


def test_a_short_text_is_taken_as_it_is_without_loading_the_ranks() -> None:
    program = (
        "import sys; from embedding.tokens import cut_to_window, CutText;"
        "assert cut_to_window('é' * 4_000, 'text-embedding-3-small') == CutText('é' * 4_000, 8_000, False);"
        "assert 'tiktoken' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT / "lambdas")


def test_half_surrogate_pairs_are_replaced() -> None:
    assert cut_to_window("half \ud83d pair", OPENAI) == CutText("half ? pair", 11, is_cut=False)
    assert cut_to_window("\ud83d" * 100, OPENAI, 16).text.strip("?") == ""


@pytest.mark.parametrize(
    ("model", "exact"),
    [
        ("text-embedding-3-small", True),
        ("text-embedding-3-large", True),
        ("text-embedding-ada-002", True),
        ("openai/text-embedding-3-small", True),
        ("text-embedding-3", False),
        ("text-embedding-004", False),
        ("nomic-embed-text", False),
    ],
)
def test_models_of_another_encoding_get_a_margin(model: str, exact: bool) -> None:
    assert is_counted_exactly(model) is exact
    assert count_tokens("word " * 100, model) == (101 if exact else 117)


@given(
    st.lists(st.integers(min_value=1, max_value=120), max_size=60),
    st.integers(min_value=1, max_value=10),
    st.integers(min_value=100, max_value=300),
)
def test_requests_hold_every_text_once_in_order_and_keep_both_limits(
    tokens: list[int], max_items: int, max_tokens: int
) -> None:
    groups = list(request_groups(list(enumerate(tokens)), max_items, max_tokens))
    assert [item for group in groups for item in group] == list(range(len(tokens)))
    for group in groups:
        assert 1 <= len(group) <= max_items
        assert sum(tokens[item] for item in group) <= max_tokens or len(group) == 1
    for group, following in itertools.pairwise(groups):
        is_full = len(group) == max_items or sum(tokens[item] for item in [*group, following[0]]) > max_tokens
        assert is_full, "the next text would have fit"


def test_requests_keep_openais_limits() -> None:
    assert [len(group) for group in request_groups([("x", 1)] * 5_000)] == [2_048, 2_048, 904]
    assert [len(group) for group in request_groups([("x", 8_191)] * 80)] == [36, 36, 8]
