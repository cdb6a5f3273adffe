"""What the `type` of a block stands for, whichever provider or framework names it."""

from functools import lru_cache

_LONGEST_TYPE = 80  # characters; no block's type is longer

_TYPES_BY_KIND = {
    "text": "text input_text output_text summary_text markdown text_delta logs textcontent streamingtextcontent"
    " message_output_text",
    "thinking": "thinking redacted_thinking reasoning reasoning_text reasoning_summary thought reasoningcontent"
    " textreasoningcontent thinking_delta",
    "call": "tool_use tool_call function server_tool_use mcp_tool_use tool_calls dynamic_tool tool_invocation"
    " functioncall functioncallcontent tool_execution custom function_tool_call tool_call_delta",
    "result": "tool_result tool_call_response server_tool_call_response tool_return builtin_tool_return tool_output"
    " function_response function_result functionresult functionresultcontent tool_call_result",
    "source": "web_search_result search_result source_url source_document source url_citation file_citation"
    " web_search_result_location",
    "nothing": "step_start cache_point start_step finish_step step_finish tool_call_streaming_start",
}
_KIND_BY_TYPE = {stated: kind for kind, listed in _TYPES_BY_KIND.items() for stated in listed.split()}
_RESULT_ENDINGS = ("_tool_result", "_call_output", "_search_output", "_call_response")


def kind_of(stated: str) -> str:
    """`text`, `thinking`, `call`, `result`, `source`, `nothing` for a stated type; empty for any other type."""
    return _kind_of_short(stated) if len(stated) <= _LONGEST_TYPE else ""


@lru_cache(maxsize=1_024)
def _kind_of_short(stated: str) -> str:
    plain = stated.lower().replace("-", "_").replace(".", "_").removeprefix("microsoft_extensions_ai_")
    kind = _KIND_BY_TYPE.get(plain)
    if kind is not None:
        return kind
    if plain.endswith(_RESULT_ENDINGS):
        return "result"
    return "call" if plain.endswith("_call") else ""
