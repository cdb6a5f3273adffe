"""Take secrets and personal data out of text before a model, a log or a table sees it.

Each subject has a module that finds spans of text; `redactor` puts placeholders in their places. Phone numbers are
validated by the maintained `phonenumbers` library. Secrets are found by our own tables: detect-secrets runs every
plugin
on every line (seconds per megabyte) and does not tell where a value stands.

A finder reads the text in time linear to its length: anchored on a literal that is found by `str.find` or by a set of
first characters, then matched within a bounded distance.
"""

from trace_summarization.redaction.redactor import Redactor, hide_secrets

__all__ = ["Redactor", "hide_secrets"]
