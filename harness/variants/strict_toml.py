"""Read strict TOML files, and report every problem of a file at once.

Each problem has a code, its key, what was expected and, where possible, the nearest valid word.
"""

from __future__ import annotations

import difflib
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo

from harness.contract import printable, text_files
from harness.contract.errors import UsageError

# The meaning of each problem's code, and its remedy. `c10k explain` prints it.
CODES: dict[str, tuple[str, str]] = {
    "C101": (
        "the directory's name is no name for a server",
        "Commands, images, containers and reports name a server after its directory: 2 to 31 "
        "lower-case letters, digits and dashes, a letter first. The words `all`, `build`, "
        "`common` and `harness`, and the names of groups, are reserved. Rename the directory.",
    ),
    "C102": (
        "the file cannot be read",
        "It is missing, is not UTF-8, is no regular file, is longer than 1 MiB, or its permissions "
        "forbid it.",
    ),
    "C103": (
        "the file is not TOML",
        "The message has line and column. Strings need quotes; a table's name is in brackets.",
    ),
    "C110": (
        "a key is unknown",
        "No program reads it, so it would have no effect. The message has the nearest known key, "
        "and all keys that are known there.",
    ),
    "C111": (
        "a required key is missing",
        "Add it. docs/variant.schema.json lists every key, its meaning and its values.",
    ),
    "C112": (
        "a value does not fit its key",
        "The message has the type, the range or the words that are expected, with what each of "
        "them means.",
    ),
    "C113": (
        "keys contradict each other",
        "Each is valid by itself; the message says what one requires of the other.",
    ),
    "C120": (
        "the directory has no Dockerfile",
        "Every server runs in a container by default. docs/add-a-server.md has an example.",
    ),
    "C121": (
        "the build context is no directory",
        "`docker.context` is relative to the server's directory; `..` has all servers in it.",
    ),
    "C122": (
        "the build context does not hold the server's directory",
        "The engine cannot get a Dockerfile from outside the context. Use the server's own "
        "directory, which is the default, or one above it.",
    ),
    "C123": (
        "the build context is too large",
        "c10k reads all of it to detect changes, and the engine gets a copy. Use the server's own "
        "directory, which is the default, or `..`, the directory of all servers. A directory with "
        "a file CACHEDIR.TAG does not count.",
    ),
}


BOUND_PROBLEMS = {"greater_than", "greater_than_equal", "less_than_equal"}
BOUND_WORDS = {"gt": "more than", "ge": "at least", "le": "at most"}
EXAMPLE_LETTERS_MAX = 60
GOT_LETTERS_MAX = 80


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem of one file."""

    code: str
    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.code} {self.message}"


class FileProblems(UsageError):
    """All problems of one file, or of several."""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        explained = f"`c10k explain {problems[0].code}` explains it."
        super().__init__("\n".join(map(str, problems)), hint=f"{hint} {explained}".strip())
        self.problems = tuple(problems)


class Strict(BaseModel):
    """Base of all file schemas: frozen, no coercion, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Schema = TypeVar("Schema", bound=Strict)


def words(meanings: Mapping[str, str]) -> dict[str, Any]:
    """Describe the words of a key, for `json_schema_extra`."""
    return {"meanings": dict(meanings)}


def load(path: Path, schema: type[Schema]) -> Schema:
    """Read the TOML file `path` as `schema`.

    Raises:
        FileProblems: the file is missing, is not TOML, or does not match; it has every problem.
    """
    return validated(path, _document(path), schema)


def validated(path: Path, document: Mapping[str, Any], schema: type[Schema]) -> Schema:
    """Validate the tables of the file `path` as `schema`.

    Raises:
        FileProblems: they do not match; it has every problem.
    """
    if hidden := list(_control_characters(document, ())):
        raise FileProblems([Problem("C112", path, text) for text in hidden])
    try:
        return schema.model_validate(document)
    except ValidationError as error:
        told = dict.fromkeys(_explain(problem, schema) for problem in _causes(error))
        raise FileProblems([Problem(code, path, text) for code, text in told]) from None


def _document(path: Path) -> dict[str, Any]:
    try:
        content = text_files.text(path)
    except FileNotFoundError:
        raise FileProblems([Problem("C102", path, "no such file")]) from None
    except text_files.Unreadable as error:
        raise FileProblems([Problem("C102", path, str(error))]) from None
    try:
        return tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise FileProblems([Problem("C103", path, f"not valid TOML: {error}")]) from None
    except ValueError:  # Python refuses integers with more digits
        digits_max = sys.get_int_max_str_digits()
        found = re.search(rf"[0-9_]{{{digits_max + 1},}}", content)
        line = content.count("\n", 0, found.start() if found else 0) + 1
        text = f"an integer has more than {digits_max:,} digits (at line {line})"
        raise FileProblems([Problem("C103", path, text)]) from None
    except RecursionError:
        text = "not valid TOML: its lists or tables are nested too deeply"
        raise FileProblems([Problem("C103", path, text)]) from None


def _control_characters(value: Any, location: tuple[str, ...]) -> Iterator[str]:
    """Yield a sentence on each key or text with a control character that terminals obey."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _control_characters(key, location)
            yield from _control_characters(inner, (*location, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _control_characters(inner, (*location, str(place)))
    elif isinstance(value, str) and (found := printable.CONTROL.search(value)):
        key = printable.plain(".".join(location)) or "the file"
        shown = f"U+{ord(found[0]):04X} at position {found.start() + 1}"
        yield f"`{key}`: holds the control character {shown}, expected printable text"


def _causes(error: ValidationError) -> list[Any]:
    """Leave out problems that only follow from others inside the same list or table.

    A list whose items all have problems is also reported as too short.
    """
    problems = error.errors()
    inner = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
    return [problem for problem in problems if problem["loc"] not in inner]


def nearest(word: str, known: list[str]) -> str:
    """Return a "did you mean" phrase for a misspelt word, or an empty string."""
    matches = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean `{matches[0]}`?" if matches else ""


def _explain(problem: Any, schema: type[Strict]) -> tuple[str, str]:
    """Code and message of a problem. All members of a union report the same."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join(location) or "the file"
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields_at(schema, location[:-1]))
        near = nearest(location[-1], known)
        return "C110", f"unknown key `{key}`{near} (known: {', '.join(known)})"
    if problem["type"] == "missing":
        return "C111", f"key `{key}` is missing: it is required"
    if problem["type"] == "value_error":
        code = "C113" if not location or location[-1] not in _all_fields(schema) else "C112"
        return code, f"`{key}`: {problem['ctx']['error']}"
    got = _shown(problem["input"])
    found, depth = _field(schema, location)
    meanings = _meanings(found)
    if not meanings:
        mark = ";" if problem["type"] == "tuple_type" else ","
        return "C112", f"`{key}`: {_expected(problem, found)}{mark} got {got[:GOT_LETTERS_MAX]}"
    near = nearest(str(problem["input"]), list(meanings))
    listed = "; ".join(f"'{word}': {meaning}" for word, meaning in meanings.items())
    key = ".".join(location[:depth])
    return "C112", f"`{key}`: got {got[:GOT_LETTERS_MAX]}{near} (allowed: {listed})"


def _shown(value: Any) -> str:
    """The value as a message shows it, whatever its size."""
    try:
        return repr(value)
    except (ValueError, RecursionError):  # too many digits, or lists nested too deeply
        return "a value too large to show"


def _expected(problem: Any, field: FieldInfo | None) -> str:
    """Describe what a key takes."""
    if problem["type"] == "tuple_type":
        given = problem["input"]
        words = given.split() if isinstance(given, str) else [given]
        example = ", ".join(f'"{word}"' if isinstance(word, str) else f"{word}" for word in words)
        is_short = isinstance(given, str | int | float) and len(example) <= EXAMPLE_LETTERS_MAX
        return f"expected a list, as [{example}]" if is_short else "expected a list"
    bounds = _bounds(field)
    if problem["type"] in BOUND_PROBLEMS and bounds:
        return f"expected {' and '.join(bounds)}"
    return str(problem["msg"])


def _bounds(field: FieldInfo | None) -> list[str]:
    """`more than 0`, `at most 64`: the bounds of a number, or of the numbers in a list."""
    if field is None:
        return []
    inner = [
        one
        for argument in get_args(field.annotation)
        for given in getattr(argument, "__metadata__", ())
        for one in getattr(given, "metadata", ())
    ]
    return [
        f"{words} {bound:,}"
        for one in (*field.metadata, *inner)
        for name, words in BOUND_WORDS.items()
        if (bound := getattr(one, name, None)) is not None
    ]


def _meanings(field: FieldInfo | None) -> Mapping[str, str]:
    extra = field.json_schema_extra if field else None
    found = extra.get("meanings") if isinstance(extra, dict) else None
    return {str(word): str(text) for word, text in found.items()} if isinstance(found, dict) else {}


def _field(schema: type[BaseModel], location: list[str]) -> tuple[FieldInfo | None, int]:
    """The field at a location, and how many parts of the location lead to it."""
    found, depth, current = None, 0, schema
    for number, part in enumerate(location, start=1):
        field = current.model_fields.get(part)
        if field is not None:
            found, depth = field, number
            current = _model_of(field.annotation) or current
    return found, depth


def _fields_at(schema: type[Strict], location: list[str]) -> Mapping[str, FieldInfo]:
    """The keys of the table at `location`."""
    current: type[BaseModel] = schema
    for part in location:
        field = current.model_fields.get(part)
        nested = _model_of(field.annotation) if field else None
        if nested is not None:
            current = nested
    return current.model_fields


def _all_fields(schema: type[BaseModel]) -> Iterator[str]:
    """The names of all leaves, without the names of tables."""
    for name, field in schema.model_fields.items():
        nested = _model_of(field.annotation)
        if nested is None:
            yield name
        else:
            yield from _all_fields(nested)


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The schema inside an annotation such as `Limits | None` or `tuple[Scenario, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_of(argument)
        if found is not None:
            return found
    return None
