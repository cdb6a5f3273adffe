"""Replacing private parts of a library where it has no setting for what is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["replace"]

_originals: dict[tuple[object, str], Any] = {}


def replace(owner: object, name: str, make: Callable[[Any], Any]) -> None:
    """Replace an attribute of a class or module.

    Args:
        owner: where the attribute is defined, not where it is inherited.
        name: of the attribute.
        make: gives the replacement for the original; a second call gets the original too, not the first replacement.

    Raises:
        KeyError: there is no such attribute: another version of the library.
    """
    key = (owner, name)
    if key not in _originals:
        _originals[key] = vars(owner)[name]
    setattr(owner, name, make(_originals[key]))
