"""List the files of a server's build context, detect changes, and find what a build wrote.

A build may write among its own sources (`gcc -o server`, Cargo's `target`). These outputs are no
sources; otherwise each build would make another server. A build by hand, or by the other backend,
may write between a run and its resume. A new file is no source if a compiler wrote it or Git
ignores it, provided that the files without the new ones are exactly those of the run.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.variants.strict_toml import FileProblems, Problem

# Outputs of a build, never inputs of one.
NOT_SOURCE = {"build", "__pycache__", "node_modules", ".git"}
# A directory with this file can be rebuilt from other files (bford.info/cachedir), for example
# Cargo's `target`.
CACHE_TAG = "CACHEDIR.TAG"
# First bytes of compilers' outputs: ELF, archives of objects, classes of Java, Erlang's modules.
COMPILED = (b"\x7fELF", b"!<arch>\n", b"\xca\xfe\xba\xbe", b"FOR1")
COMPILED_SUFFIXES = (".pyc", ".pyo")
# An engine takes seconds to read this much; `/` and a home directory have more.
FILES_MAX = 20_000
BYTES_MAX = 256 << 20

# Time of the last write of a file, its size, and its inode.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Sources:
    """The files that the build of one server can see.

    Attributes:
        file: the server's `variant.toml`, in its directory.
        named: the context, as `docker.context` gives it.
    """

    file: Path
    named: str

    @property
    def context(self) -> Path:
        """The Docker build context, resolved."""
        return Path(os.path.realpath(self.file.parent / self.named))

    def digest(self, without: Collection[str] = ()) -> str:
        """SHA-256 over path, mode and content of each source.

        Other servers that share the context are left out, because they are no part of this one. So
        are the files and directories `without`, relative to the context.

        Raises:
            FileProblems: a file is not readable, or the context is too large.
        """
        digest, context = hashlib.sha256(), self.context
        for path, facts in self._found(without):
            try:
                content = path.read_bytes()
            except FileNotFoundError:  # another build removed it
                continue
            except OSError as error:
                raise self._problem("C102", f"{path} cannot be read: {error.strerror}") from None
            digest.update(os.fsencode(path.relative_to(context)))
            digest.update(facts.st_mode.to_bytes(4, "big"))
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()

    def stamps(self) -> dict[str, Stamp]:
        """Time, size and inode of each source, by its path in the context."""
        context = self.context
        return {
            str(path.relative_to(context)): (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            for path, facts in self._found(())
        }

    def compiled(self) -> set[str]:
        """The files that a compiler wrote, by their paths in the context.

        Raises:
            FileProblems: the context is too large, or one of its directories is not readable.
        """
        context = self.context
        return {str(path.relative_to(context)) for path, _ in self._found(()) if _compiled(path)}

    def require_size(self) -> None:
        """Raise FileProblems if the context has too many files or bytes."""
        for _ in self._files(()):
            pass

    def _found(self, without: Collection[str]) -> list[tuple[Path, os.stat_result]]:
        context = self.context
        others = (path.parent.resolve() for path in context.glob(f"*/{self.file.name}"))
        left_out = {other for other in others if other != self.file.parent}
        left_out |= {context / one for one in without}
        return sorted(self._files(left_out), key=lambda found: found[0])

    def _files(self, left_out: Collection[Path]) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the regular files of the context that may be sources, up to the bounds."""
        files, size_bytes = 0, 0
        # Raised at the end: a context that is too large is the first fault to report
        unread: list[OSError] = []
        for top, directories, names in os.walk(self.context, onerror=unread.append):
            here = Path(top)
            directories[:] = [name for name in directories if _is_searched(here / name, left_out)]
            for path in (here / name for name in names if name not in NOT_SOURCE):
                facts = _regular(path)
                if facts is None or path in left_out:
                    continue
                files, size_bytes = files + 1, size_bytes + facts.st_size
                if files > FILES_MAX or size_bytes > BYTES_MAX:
                    raise self._problem(
                        "C123",
                        f"{self.context} is too large: {files:,} files of "
                        f"{size_bytes / (1 << 20):,.0f} MiB, and more were not counted; expected "
                        f"at most {FILES_MAX:,} files of {BYTES_MAX >> 20:,} MiB",
                    )
                yield path, facts
        for error in unread:
            raise self._problem("C102", f"{error.filename} cannot be read: {error.strerror}")

    def _problem(self, code: str, text: str) -> FileProblems:
        return FileProblems(
            [Problem(code, self.file, f"`docker.context` = '{self.named}': {text}")]
        )


def written(before: Mapping[str, Stamp], after: Mapping[str, Stamp]) -> tuple[str, ...]:
    """List what a build wrote: files, and directories that held no source before it."""
    found = {
        next((place for place in _above(path) if not _holds(before, place)), path)
        for path, stamp in after.items()
        if before.get(path) != stamp
    }
    return tuple(sorted(found))


def _compiled(path: Path) -> bool:
    """Whether a compiler wrote a file, judged by its first bytes or its suffix."""
    if path.suffix in COMPILED_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(max(map(len, COMPILED))).startswith(COMPILED)
    except OSError:
        return False


def _above(path: str) -> list[str]:
    """The directories above a path, the outermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _holds(paths: Iterable[str], directory: str) -> bool:
    return any(path.startswith(f"{directory}/") for path in paths)


def _is_searched(directory: Path, left_out: Collection[Path]) -> bool:
    is_left_out = directory.name in NOT_SOURCE or directory in left_out
    return not is_left_out and _regular(directory / CACHE_TAG) is None


def _regular(path: Path) -> os.stat_result | None:
    """The facts about a regular file; None if it is no regular file, or is gone."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts if stat.S_ISREG(facts.st_mode) else None
