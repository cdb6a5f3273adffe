"""Compares with a file that is reviewed with each change; `UPDATE_GOLDEN=1` writes it anew."""

import json
import os
from pathlib import Path
from typing import Any


def assert_golden(path: Path, value: Any) -> None:
    """The value, as JSON, is what the file holds."""
    assert_golden_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def assert_golden_text(path: Path, text: str) -> None:
    """The text is what the file holds."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    held = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == held, f"{path} differs: review the change, then run again with UPDATE_GOLDEN=1"
