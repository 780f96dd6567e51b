"""`c10k new`: a directory that is whole or not there, and never over another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.contract.errors import HostNotFit, UsageError
from harness.variants import scaffold, variant_files

SERVERS = Path(__file__).parents[2] / "servers"


@pytest.fixture
def servers(tmp_path: Path) -> Path:
    """A directory of variants with those that others are copied from."""
    for name in scaffold.COPIED:
        shutil.copytree(SERVERS / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("source", scaffold.SOURCES)
def test_a_new_variant_is_valid_and_has_its_own_name(servers: Path, source: str) -> None:
    before = {path: path.read_bytes() for path in servers.rglob("*") if path.is_file()}
    files = scaffold.render("mine", source, servers)
    assert not (servers / "mine").exists()

    variant = variant_files.read(scaffold.write("mine", files, servers))

    assert variant.name == variant.file.title == "mine"
    assert variant.file.process is not None
    if source in scaffold.COPIED:
        assert variant.file.architecture == source
        assert source not in " ".join((*variant.file.process.build, *variant.file.process.command))
        assert source not in variant.dockerfile.read_text()
    # No list to add it to, and nothing else has changed.
    assert {path: path.read_bytes() for path in before} == before
    assert {path.name for path in servers.iterdir()} == {*scaffold.COPIED, "mine"}


def test_nothing_is_overwritten_and_no_half_is_left(servers: Path) -> None:
    files = scaffold.render("mine", "empty", servers)
    (servers / "mine").mkdir()
    (servers / "mine" / "notes.txt").write_text("keep me")

    with pytest.raises(UsageError, match="overwrites nothing"):
        scaffold.render("mine", "empty", servers)
    with pytest.raises(HostNotFit):
        scaffold.write("mine", files, servers)

    assert [path.name for path in (servers / "mine").iterdir()] == ["notes.txt"]
    assert not list(servers.glob(".*"))


def test_a_name_that_is_none_and_a_source_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name for a server"):
        scaffold.render("../mine", "empty", tmp_path)
    with pytest.raises(UsageError, match="no such directory to copy"):
        scaffold.render("mine", "poll", tmp_path)


def test_the_command_prints_what_to_do_next(servers: Path) -> None:
    arguments = ["new", "mine", "--from", "asyncio", "--no-check", "--servers-dir", str(servers)]
    told = CliRunner().invoke(main.cli, arguments, standalone_mode=False)

    assert told.exception is None
    *_, edit, check, run = told.output.splitlines()
    assert edit.strip() == f"edit {servers}/mine/server.py"
    assert check.strip() == f"c10k check mine --servers-dir {servers}"
    # Named only where it is there to be compared with
    assert run.strip() == f"c10k run --servers mine,epoll-lt --servers-dir {servers}"
