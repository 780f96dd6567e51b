"""Discover and validate `servers/*/variant.toml`.

A server's identity is the name of its directory. Adding the directory registers the server. A
directory without a `variant.toml` is no server (`servers/common`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from harness.contract import text_files
from harness.contract.errors import UsageError
from harness.variants import strict_toml
from harness.variants.sources import Sources

VARIANT_FILE = "variant.toml"
NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]{1,30}")
# The word for all servers in lists, and the first character of a group's name.
ALL = "all"
GROUP_MARK = "@"
# Names with another meaning, and that meaning.
RESERVED = {
    ALL: "it means all servers",
    "build": "`make clean` removes the directory",
    "common": "it holds what servers share",
    "harness": "the harness's image has this name",
    **dict.fromkeys(
        (
            *("libraries", "bounded", "per-cpu", "classic", "interfaces"),
            *("python", "python-loops", "runtimes"),
        ),
        "a group has this name",
    ),
}


CONNECTIONS_MAX = 1_000_000
WORKERS_MAX = 100_000
STATUSES = {
    "stable": "measured and ranked",
    "experimental": "measured, never ranked",
    "disabled": "never run; `reason` says why",
}
BEYOND = {
    "refuse": "the server refuses the next connection",
    "queue": "the next connection waits until another closes",
}
WORKERS = {"a number": "that number, 1 or more", "cpus": "one for each CPU of the server"}


def _is_there(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110 (Path.exists raises where a name is too long)


def _one_line(text: str) -> str:
    if not text.strip() or "\n" in text or "\t" in text:
        raise ValueError(f"expected one line of text, got {text[:80]!r}")
    return text


def _with_a_program(command: tuple[str, ...]) -> tuple[str, ...]:
    if command and not command[0]:
        raise ValueError("expected the program to start as the first word, got an empty word")
    return command


# Tables and headings show it.
Line = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_one_line)]
Command = Annotated[tuple[str, ...], AfterValidator(_with_a_program)]


class DockerBuild(strict_toml.Strict):
    """`[docker]`: the build context of the directory's Dockerfile."""

    context: str = Field(
        default=".",
        description="Build context, relative to the directory. The Dockerfile is in the directory.",
    )


class ProcessRun(strict_toml.Strict):
    """`[process]`: how to build and start the server without Docker."""

    build: Command = Field(
        default=(),
        strict=False,
        description="Command that builds the server; runs in its directory.",
    )
    command: Command = Field(
        min_length=1,
        strict=False,
        description="Command that starts the server; runs in its directory.",
    )
    requires: dict[str, str] = Field(
        default_factory=dict,
        description="What must be there, each with its Debian package: a program on PATH or an "
        "absolute path.",
    )

    def missing_packages(self) -> tuple[str, ...]:
        """Debian packages of the things in `requires` that this host lacks."""
        missing = (
            package
            for what, package in self.requires.items()
            if not (_is_there(what) if what.startswith("/") else shutil.which(what))
        )
        return tuple(dict.fromkeys(missing))


class Ceiling(strict_toml.Strict):
    """`[limits]`: a limit of the architecture itself."""

    connections_max: int = Field(
        ge=1, le=CONNECTIONS_MAX, description="Most connections it holds; cells beyond are capped."
    )
    beyond: Literal["refuse", "queue"] = Field(
        description="Effect on the next connection.", json_schema_extra=strict_toml.words(BEYOND)
    )
    reason: str = Field(min_length=1, description="Why the limit exists.")


class VariantFile(strict_toml.Strict):
    """The keys of `variant.toml`."""

    title: Line = Field(description="Name in the report.")
    architecture: Line = Field(
        description="How it waits for I/O: thread-per-connection, select, poll, epoll-lt, …",
    )
    language: Line = Field(description="Programming language.")
    family: Line | None = Field(
        default=None,
        description="Servers of one family share everything but the mechanism.",
    )
    workers: int | Literal["cpus"] = Field(
        default=1,
        description="Processes or threads that serve connections.",
        json_schema_extra=strict_toml.words(WORKERS),
    )
    counters: bool = Field(
        default=False, description="The server prints its own counters at exit and at SIGUSR1."
    )
    runtime: bool = Field(
        default=False,
        description="With --version, the server prints its runtime and the runtime's version.",
    )
    status: Literal["stable", "experimental", "disabled"] = Field(
        default="stable",
        description="Whether campaigns run and rank the server.",
        json_schema_extra=strict_toml.words(STATUSES),
    )
    reason: str | None = Field(default=None, description="Why it is disabled; then required.")
    summary: str = Field(min_length=1, description="One sentence for the report.")
    docker: DockerBuild = DockerBuild()
    process: ProcessRun | None = None
    limits: Ceiling | None = None

    @field_validator("workers")
    @classmethod
    def _positive(cls, workers: int | str) -> int | str:
        if isinstance(workers, int) and not 1 <= workers <= WORKERS_MAX:
            raise ValueError(f'expected 1 to {WORKERS_MAX:,} or "cpus", got {workers:,}')
        return workers

    @model_validator(mode="after")
    def _disabled_says_why(self) -> VariantFile:
        if self.status == "disabled" and not self.reason:
            raise ValueError('status = "disabled" requires the key `reason`')
        return self


@dataclass(frozen=True, slots=True)
class Variant:
    """One server to compare.

    Attributes:
        added: files that appeared in its context since its campaign began and are no sources.
    """

    name: str
    directory: Path
    file: VariantFile
    added: tuple[str, ...] = ()

    @property
    def context(self) -> Path:
        """The Docker build context, resolved."""
        return self.sources.context

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile in the server's directory."""
        return self.directory / "Dockerfile"

    def worker_count(self, server_cpus: int) -> int:
        """Number of workers that the server runs with `server_cpus` CPUs."""
        return server_cpus if self.file.workers == "cpus" else self.file.workers

    @property
    def sources(self) -> Sources:
        """The files that its build can see."""
        return Sources(self.directory / VARIANT_FILE, self.file.docker.context)

    def digest(self, without: Collection[str] = ()) -> str:
        """Digest of its sources by content, so that an unchanged server keeps its image.

        Args:
            without: outputs of its build, from `sources.written`.

        Raises:
            FileProblems: a file is not readable, or the context is too large.
        """
        return self.sources.digest({*without, *self.added})


def require_contexts(variants: Iterable[Variant]) -> None:
    """Raise FileProblems for a build context that is too large, before anything is built."""
    for one in {variant.context: variant for variant in variants}.values():
        one.sources.require_size()


@dataclass(frozen=True, slots=True)
class Survey:
    """The servers of a directory.

    Attributes:
        variants: the servers without problems, sorted by name.
        broken: the problems of each other server, by the name of its directory.
    """

    variants: tuple[Variant, ...]
    broken: Mapping[str, tuple[strict_toml.Problem, ...]]

    def require(self, names: Iterable[str]) -> None:
        """Raise FileProblems with every problem of the servers that `names` lists."""
        problems = [problem for name in names for problem in self.broken.get(name, ())]
        if problems:
            raise strict_toml.FileProblems(
                problems, hint="docs/add-a-server.md describes a server's directory."
            )


def survey(servers: Path) -> Survey:
    """Read every server under the directory `servers`. A broken one does not hide the others.

    Raises:
        UsageError: the directory is not readable, or has no server.
    """
    variants: list[Variant] = []
    broken: dict[str, tuple[strict_toml.Problem, ...]] = {}
    for directory in _directories(servers):
        try:
            variants.append(read(directory))
        except strict_toml.FileProblems as error:
            broken[directory.name] = error.problems
    if not variants and not broken:
        raise UsageError(f"{servers}: has no server (a directory with a {VARIANT_FILE})")
    return Survey(tuple(variants), broken)


def _directories(servers: Path) -> list[Path]:
    """The directories with a `variant.toml`, sorted by name."""
    hint = "Run `c10k` from the repository, or set `--servers-dir` to the directory."
    try:
        entries = sorted(servers.iterdir())
        # `c10k new` writes a directory under a name with a dot, and renames it at the end
        visible = [path for path in entries if not path.name.startswith(".")]
        return [path for path in visible if os.path.lexists(path / VARIANT_FILE)]
    except FileNotFoundError:
        raise UsageError(f"{servers}: no such directory", hint=hint) from None
    except OSError as error:
        raise UsageError(
            f"{servers}: cannot be read as a directory: {error.strerror}", hint=hint
        ) from None


def name_problem(name: str) -> str | None:
    """Why a directory cannot have this name as a server; None if it can."""
    if not NAME_PATTERN.fullmatch(name):
        return (
            f"`{name}` is no name for a server: expected 2 to 31 lower-case letters, digits and "
            "dashes, a letter first"
        )
    if name in RESERVED:
        return f"`{name}` is no name for a server: it is reserved, because {RESERVED[name]}"
    return None


def read(directory: Path) -> Variant:
    """Read the one server in `directory`.

    Raises:
        FileProblems: its name, its file or its Dockerfile is wrong; it has every problem found.
    """
    problems: list[strict_toml.Problem] = []
    name, path = directory.name, directory / VARIANT_FILE
    if (text := name_problem(name)) is not None:
        problems.append(strict_toml.Problem("C101", directory, text))
    dockerfile = directory / "Dockerfile"
    try:
        text_files.require_readable(dockerfile)
    except FileNotFoundError:
        text = "missing: every server needs a Dockerfile"
        problems.append(strict_toml.Problem("C120", dockerfile, text))
    except text_files.Unreadable as error:
        problems.append(strict_toml.Problem("C102", dockerfile, str(error)))
    try:
        file = strict_toml.load(path, VariantFile)
    except strict_toml.FileProblems as error:
        raise strict_toml.FileProblems([*problems, *error.problems]) from None
    variant = Variant(name, directory.resolve(), file)
    if not _is_there(f"{variant.context}/"):
        text = "`docker.context`: no such directory"
        problems.append(strict_toml.Problem("C121", path, text))
    elif not variant.dockerfile.is_relative_to(variant.context):
        text = "`docker.context`: expected this directory or one above it"
        problems.append(strict_toml.Problem("C122", path, text))
    if problems:
        raise strict_toml.FileProblems(problems)
    return variant


def json_schema() -> str:
    """The JSON Schema of `variant.toml`, for editors: docs/variant.schema.json."""
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **VariantFile.model_json_schema(),
        "title": "variant.toml",
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(json_schema(), end="")
