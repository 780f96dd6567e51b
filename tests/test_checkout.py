"""A checkout that is copied or moved builds its own environment, and runs its own code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600
# An interpreter whose environments hold absolute paths as real ones do, and take no time: its pip
# writes to the environment that it was made in, and installs a `c10k` that prints a file of the
# checkout that it was made for.
INTERPRETER = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exec python3 "$@"
mkdir -p "$3/bin"
cat >"$3/bin/pip" <<END
#!/bin/sh
case "\\$*" in
*--editable*) printf '#!/bin/sh\\ncat "%s"\\n' '$PWD/code' >'$PWD/$3/bin/c10k' ;;
esac
END
chmod +x "$3/bin/pip"
"""
NO_NETWORK = re.compile(r"NewConnectionError|[Nn]ame resolution|ConnectTimeoutError")


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(INTERPRETER)
    path.chmod(0o755)
    return path


def checkout(directory: Path, code: str) -> Path:
    """What `make install` needs of a checkout, with `code` for its code."""
    for name in ("Makefile", "pyproject.toml", "requirements", ".ci"):
        copy(ROOT / name, directory / name)
    (directory / "build/cp3/CMakeFiles").mkdir(parents=True)
    (directory / "code").write_text(code)
    return directory


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", source, target], check=True, timeout=TIMEOUT_S)


def install(directory: Path, interpreter: Path | str) -> str:
    """Run `make install`, and say what it did."""
    made = subprocess.run(
        ["make", "--no-print-directory", "install", f"PYTHON={interpreter}"],
        cwd=directory,
        env={**os.environ, "PWD": str(directory)},  # as of a shell that came by a link
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if NO_NETWORK.search(made.stdout + made.stderr):
        pytest.skip("no package index answers")
    assert made.returncode == 0, made.stdout + made.stderr
    return made.stdout


def run(directory: Path) -> str:
    """What the installed command prints."""
    command = ["sh", str(directory / ".venv/bin/c10k")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize("name", ["copy", "a copy, with blanks & more"])
def test_a_copied_checkout_runs_its_own_code(tmp_path: Path, interpreter: Path, name: str) -> None:
    original, copied = checkout(tmp_path / "original", "old"), tmp_path / name
    install(original, interpreter)
    copy(original, copied)
    (copied / "code").write_text("new")

    install(copied, interpreter)

    assert run(copied) == "new"
    assert run(original) == "old"
    assert not (copied / "build/cp3").exists()
    assert (copied / ".venv/dependencies").read_text() == f"{copied}\n"


def test_a_moved_checkout_is_installed_again(tmp_path: Path, interpreter: Path) -> None:
    original, moved = checkout(tmp_path / "original", "code"), tmp_path / "moved"
    install(original, interpreter)
    original.rename(moved)

    install(moved, interpreter)

    assert run(moved) == "code"


def test_a_copy_by_hard_links_leaves_the_original_as_it_was(
    tmp_path: Path, interpreter: Path
) -> None:
    original, linked = checkout(tmp_path / "original", "old"), tmp_path / "linked"
    install(original, interpreter)
    subprocess.run(["cp", "-al", original, linked], check=True, timeout=60)

    install(linked, interpreter)

    assert "Nothing to be done" in install(original, interpreter)
    assert str(linked) in (linked / ".venv/bin/c10k").read_text()
    assert str(original) in (original / ".venv/bin/c10k").read_text()


def test_a_link_to_the_environment_of_another_checkout_is_not_followed(
    tmp_path: Path, interpreter: Path
) -> None:
    original, other = (checkout(tmp_path / name, name) for name in ("original", "other"))
    install(original, interpreter)
    (other / ".venv").symlink_to(original / ".venv")

    install(other, interpreter)

    assert (run(original), run(other)) == ("original", "other")


def test_nothing_is_installed_again_where_nothing_changed(
    tmp_path: Path, interpreter: Path
) -> None:
    original, link = checkout(tmp_path / "original", "code"), tmp_path / "link"
    install(original, interpreter)
    link.symlink_to(original)

    for directory in (original, link):
        assert "Nothing to be done" in install(directory, interpreter)


@pytest.mark.slow
def test_a_copy_of_this_checkout_runs_the_code_of_the_copy(tmp_path: Path) -> None:
    """With the true interpreter, pip and compiler."""
    if not (ROOT / ".venv/installed").is_file():
        pytest.skip("this checkout has no environment")
    copied = tmp_path / "copy"
    left_out = shutil.ignore_patterns("site-packages", ".git", "reports", "node_modules")
    shutil.copytree(ROOT, copied, ignore=left_out, symlinks=True)
    package = copied / "harness/__init__.py"
    package.write_text(package.read_text() + '\nprint("the code of the copy")\n')

    install(copied, "python3")

    told = subprocess.run(
        [copied / ".venv/bin/c10k", "selftest", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert told.stdout.startswith("the code of the copy"), told.stderr
    engine = "import harness.engine._engine as engine; print(engine.__file__)"
    loaded = subprocess.run(
        [copied / ".venv/bin/python", "-c", engine], capture_output=True, text=True, timeout=60
    )
    assert loaded.stdout.splitlines()[-1].startswith(str(copied)), loaded.stderr


def test_a_checkout_with_other_settings_of_git_has_the_same_files(tmp_path: Path) -> None:
    """As on a file system without links, or where Git makes CRLF of each line's end."""
    settings = ("-c", "core.autocrlf=true", "-c", "core.symlinks=false")
    git = ("git", "-c", f"safe.directory={ROOT}", *settings)
    made = subprocess.run(
        [*git, "checkout-index", "--all", f"--prefix={tmp_path}/"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if "not a git repository" in made.stderr:
        pytest.skip("this is no checkout of Git")
    assert made.returncode == 0, made.stderr
    unlike = [
        path.relative_to(tmp_path)
        for path in tmp_path.rglob("*")
        if path.is_file() and path.suffix in ("", ".py", ".sh", ".cpp", ".toml")
        if b"\r\n" in path.read_bytes()
    ]

    assert unlike == []
    for server in sorted((tmp_path / "servers").glob("python-*/server.py")):
        told = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=60)
        assert "Python" in told.stdout or "uvloop" in told.stderr, told.stderr


@pytest.mark.parametrize("variables", [{"PIP_USER": "1"}, {"PIP_TARGET": "elsewhere"}, {}])
def test_settings_of_pip_do_not_lead_elsewhere(tmp_path: Path, variables: dict[str, str]) -> None:
    """By the recipe's own words, for a package that is there already."""
    settings = tmp_path / "pip.conf"
    settings.write_text("[install]\nuser = true\n")
    again = "again: ; $(PIP) --no-index --no-deps --dry-run click && echo installed"
    made = subprocess.run(
        ["make", "--silent", f"--eval={again}", f"BIN={Path(sys.executable).parent}", "again"],
        cwd=ROOT,
        env={**os.environ, "PIP_CONFIG_FILE": str(settings), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert made.stdout.splitlines()[-1:] == ["installed"], made.stderr
