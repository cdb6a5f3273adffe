"""All finders together, and which of them wins where two mark the same text."""

from trace_summarization.redaction.cards import find_cards
from trace_summarization.redaction.commands import find_command_secrets
from trace_summarization.redaction.emails import find_emails
from trace_summarization.redaction.headers import find_header_secrets
from trace_summarization.redaction.named_secrets import find_named_secrets
from trace_summarization.redaction.phones import find_phones
from trace_summarization.redaction.private_keys import find_private_keys
from trace_summarization.redaction.provider_tokens import find_long_runs, find_provider_tokens
from trace_summarization.redaction.spans import Span, outside, united
from trace_summarization.redaction.tables import find_in_columns
from trace_summarization.redaction.url_passwords import find_url_passwords


def secrets(text: str, wary: bool = False) -> list[Span]:
    """Spans of secrets, passwords and private keys, in order; `wary`: also of what only looks like one."""
    return _secrets(text, find_in_columns(text), wary)


def everything(text: str) -> list[Span]:
    """Spans of secrets and, outside of them, of addresses, cards and phone numbers, in order."""
    in_columns = find_in_columns(text)
    taken = _secrets(text, in_columns, wary=False)
    phones = [span for span in in_columns if span.kind == "phone"]
    in_urls = find_url_passwords(text)[1]
    for found in (find_emails(text, in_urls), find_cards(text), find_phones(text), phones):
        fresh = outside(found, taken)
        if fresh:
            taken = sorted([*taken, *fresh], key=lambda span: span.start)
    return taken


def _secrets(text: str, in_columns: list[Span], wary: bool) -> list[Span]:
    return united(
        [
            *find_private_keys(text),
            *find_provider_tokens(text),
            *find_header_secrets(text),
            *find_command_secrets(text),
            *find_named_secrets(text, wary),
            *find_url_passwords(text)[0],
            *(span for span in in_columns if span.kind != "phone"),
            *(find_long_runs(text) if wary else []),
        ]
    )
