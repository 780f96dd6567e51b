"""Keep control characters out of what is printed: a terminal obeys escape sequences in any text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# C0 and C1 of Unicode, and DEL; a tab and a new line only lay text out.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
INSTEAD = "\N{REPLACEMENT CHARACTER}"


def plain(text: str) -> str:
    """The text with a visible mark in place of each control character."""
    return CONTROL.sub(INSTEAD, text)


def plain_document(value: Any) -> Any:
    """A JSON document with all its texts and keys as `plain` returns them."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): plain_document(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain_document(inner) for inner in value]
    return value
