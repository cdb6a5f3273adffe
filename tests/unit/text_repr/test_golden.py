"""Renderings of recorded traces of every kind, as files to be read in review; `UPDATE_GOLDEN=1` writes them anew."""

import re
from pathlib import Path

import pytest

from tests.golden_file import assert_golden_text
from tests.unit.text_repr.traces import recorded_traces
from trace_summarization.redaction import Redactor
from trace_summarization.text_repr import fit, render_trace

GOLDEN = Path(__file__).parent / "golden"

TRACES = {
    # provider or framework: the trace in samples/
    "agents-js-openai-agents": "b6d1a3ff-d61e-5d5a-b86c-c21545e9b9d1",
    "anthropic-thinking-stream": "5ab27d37-3a98-5993-bf72-14ac58b607b7",
    "anthropic-tool-results": "9f82021c-c83f-5bce-b7da-73cb5ae4419c",
    "autogen": "8151310b-6956-52e3-b9f3-244702553201",
    "bedrock-converse": "2177a8c2-12dd-59f0-959e-0ff32829d044",
    "bedrock-native-output": "8ca92260-1200-5e3d-bd03-7bbbf1598ae8",
    "beeai": "cd73c5c2-3b96-548a-8889-a9f9bc2b5570",
    "claude-agent-sdk": "81d84298-b431-5567-bf5a-d5f9191a0141",
    "cohere-tools": "968841ea-3109-5b33-b031-3c6ad35a3cf1",
    "crewai": "0f407bb6-ffaa-5c17-a33d-37a4883b6d21",
    "deepseek-reasoning-history": "0a70582a-d9ab-575a-a269-cffdee6e453b",
    "gemini-multimodal": "18aea4dd-5e86-5aed-a0cc-a918961ce55a",
    "gemini-tool-calls": "2651d06a-15e8-568b-abbd-cbf2ff3f1a47",
    "google-adk": "e63698b1-ea25-56a3-b056-2a55ea9e1c3b",
    "groq-tool-choice": "5b71a647-fad0-51ae-b4e5-311d0f285432",
    "koog-joke-generator": "e19d4c83-c561-576b-a9db-ee241c8283f6",
    "langgraph-python": "cca71a37-bfbc-5360-b019-4ed192b3d222",
    "langgraph-js": "c307f29a-3796-57cc-bb96-8a465fbe4aa6",
    "llamaindex": "e0e5062e-a293-5905-a2d7-5ba13c9dbc47",
    "microsoft-agent": "5de6633d-da5b-5237-8797-3d987aeb5120",
    "mistral-multimodal": "cd29c134-8ad4-5605-a5e8-62ede76e46a8",
    "openai-annotations": "cc6f04e0-7230-5ef0-8e1b-f60aaa204ed2",
    "openai-responses-error": "40f171e8-fc32-5bbf-8c5a-f19081bf24b9",
    "openrouter": "1b0f177d-a84b-508f-b88c-31adc5e811bc",
    "pydantic-ai": "e169bc40-c7f9-593a-bf6f-52281271d10c",
    "snowflake-llama": "31666caf-c85f-5f09-8488-ccc97bb89432",
    "vercel-ai-sdk": "b2a09e07-018b-5a1d-b291-82f05f7a2558",
    "vertex-generate-content": "95a4b696-821a-58fe-98ec-3a795f59657c",
    "vertex-tools": "fc8817a4-e366-54b4-90e4-7772352cad48",
    "zai-thinking": "52e9c347-3e50-5c46-9188-52abddf0d147",
}
AIRLINE_TRACE = "58f4f80e-542c-5357-b4bc-8e48222df68e"


@pytest.mark.parametrize("name", TRACES)
def test_rendering_is_the_reviewed_one(name: str) -> None:
    trace_id = TRACES[name]
    text = render_trace(trace_id, recorded_traces()[trace_id], Redactor().redact).text
    assert_golden_text(GOLDEN / f"{name}.txt", text + "\n")


def test_a_long_conversation_within_a_budget_is_the_reviewed_one() -> None:
    rendered = render_trace(AIRLINE_TRACE, recorded_traces()[AIRLINE_TRACE], Redactor().redact)
    assert_golden_text(GOLDEN / "airline-in-2000-tokens.txt", fit(rendered, 2_000).text + "\n")


def test_every_golden_file_is_compared() -> None:
    names = {path.stem for path in GOLDEN.glob("*.txt")}
    assert names == {*TRACES, "airline-in-2000-tokens"}
    assert len(names) > 25


def test_golden_files_are_readable() -> None:
    for path in GOLDEN.glob("*.txt"):
        assert not re.search(r"[A-Za-z0-9+/]{200}", path.read_text(encoding="utf-8")), path.name
