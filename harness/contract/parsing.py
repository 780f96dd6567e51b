"""What is wrong with a text that is not as its model says, in one sentence that names the key."""

from __future__ import annotations

import json

from pydantic import ValidationError

SHOWN_LETTERS = 40


def complaint(error: ValidationError, what: str) -> str:
    """The first fault: `C10K_TRIAL.steps[0].cells[1].depth: input should be …, not 0`.

    `what` is the name of the whole text.
    """
    first = error.errors()[0]
    path = what + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
    kind, message = first["type"], first["msg"]
    if kind == "json_invalid":
        return f"{what} is not JSON: {message.removeprefix('Invalid JSON: ')}"
    if kind in ("missing", "missing_argument"):
        return f"{path} is missing"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{path} is not a known key"
    if kind == "value_error":
        return f"{path}: {message.removeprefix('Value error, ')}"
    return f"{path}: {message[:1].lower()}{message[1:]}, not {_shown(first['input'])}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]}…"
