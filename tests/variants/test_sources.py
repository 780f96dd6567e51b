"""What a server's build can see: which files are sources, and how many there may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from inprocess import c10k

from harness.campaign.resuming import as_it_was
from harness.contract.campaign_head import ServerEntry
from harness.contract.errors import Exit
from harness.variants import sources, strict_toml, variant_files

REFUSED_S = 20.0


def add(servers: Path, context: str = ".") -> variant_files.Variant:
    """A server with a source in C."""
    directory = servers / "mine"
    directory.mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM scratch\n")
    (directory / "server.c").write_text("int main(void) { return 0; }\n")
    (directory / "variant.toml").write_text(
        'title = "mine"\narchitecture = "poll"\nlanguage = "C"\nsummary = "One."\n'
        f'[docker]\ncontext = "{context}"\n'
    )
    return variant_files.read(directory)


def build(variant: variant_files.Variant, script: str) -> tuple[str, ...]:
    """What a build in the server's directory wrote."""
    before = variant.sources.stamps()
    subprocess.run(["sh", "-ec", script], cwd=variant.directory, check=True, timeout=60)
    return sources.written(before, variant.sources.stamps())


def test_what_a_build_writes_into_its_own_directory_is_no_source(tmp_path: Path) -> None:
    mine = add(tmp_path)
    first = mine.digest()
    script = "mkdir -p objects/deep; cp server.c objects/deep/server.o; cp server.c server"

    outputs = build(mine, script)

    assert outputs == ("objects", "server")
    assert mine.digest() != first
    assert mine.digest(outputs) == first
    # A build that does everything again writes the same files
    assert build(mine, script) == ("objects/deep/server.o", "server")
    (mine.directory / "server.c").write_text("int main(void) { return 1; }\n")
    assert mine.digest(outputs) != first


BY_HAND = {
    "gcc -o server": "gcc -o server server.c",
    "gcc -c": "gcc -c server.c && ar rc libserver.a server.o",
    "what Git ignores": "git init -q . && echo o > .git/info/exclude && mkdir o && date > o/a",
    "python": "mkdir -p __pycache__ && touch __pycache__/a.pyc b.pyc",
    "npm": "mkdir -p node_modules && touch node_modules/a.js",
}


@pytest.mark.parametrize("script", BY_HAND.values(), ids=BY_HAND)
def test_a_build_by_hand_after_a_run_changes_no_source_of_its_resume(
    tmp_path: Path, script: str
) -> None:
    mine = add(tmp_path)
    entry = ServerEntry(name="mine", digest=mine.digest())
    if missing := [tool for tool in ("gcc", "git") if shutil.which(tool) is None]:
        pytest.skip(f"not installed here: {missing}")
    subprocess.run(["sh", "-ec", script], cwd=mine.directory, check=True, timeout=60)

    resumed = as_it_was(mine, entry)

    # Docker names the image by it: the resume runs the image of the run
    assert resumed.digest() == entry.digest


@pytest.mark.parametrize(
    "script",
    ["echo >> server.c", "rm server.c", "touch new.h", "chmod +x server.c", "cp shipped server"],
)
def test_a_source_that_changed_is_seen_next_to_what_a_build_wrote(
    tmp_path: Path, script: str
) -> None:
    mine = add(tmp_path)
    (mine.directory / "server").write_bytes(b"\x7fELF that is copied as it is")
    entry = ServerEntry(name="mine", digest=mine.digest())
    (mine.directory / "shipped").write_bytes(b"\x7fELF another one")
    subprocess.run(["sh", "-ec", script], cwd=mine.directory, check=True, timeout=60)

    assert as_it_was(mine, entry).digest() != entry.digest


def test_a_directory_that_calls_itself_a_cache_has_no_sources(tmp_path: Path) -> None:
    mine = add(tmp_path)
    first = mine.digest()
    target = mine.directory / "target"  # as Cargo makes it
    target.mkdir()
    (target / "server").write_bytes(b"\x7fELF")
    assert mine.digest() != first

    (target / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert mine.digest() == first


@pytest.mark.parametrize(
    ("context", "command"),
    [("/", ("run", "--dry-run")), ("../../../../../../..", ("check", "mine"))],
)
def test_a_context_that_is_far_too_large_is_refused_at_once_with_its_size(
    tmp_path: Path, context: str, command: tuple[str, ...]
) -> None:
    add(tmp_path, context)
    began_s = time.monotonic()

    ended = c10k(*command, "--servers-dir", tmp_path)

    assert ended.code == Exit.USAGE
    assert f"C123 `docker.context` = '{context}': / is too large:" in ended.err
    assert "MiB, and more were not counted; expected at most 20,000 files" in ended.err
    assert time.monotonic() - began_s < REFUSED_S


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_source_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    mine = add(tmp_path)
    (mine.directory / "server.c").chmod(0)

    with pytest.raises(strict_toml.FileProblems, match=r"server\.c cannot be read: Perm"):
        mine.digest()
