"""The rules of this repository, as far as a program can check them."""

from __future__ import annotations

import ast
import functools
import io
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from harness.cli import main

ROOT = Path(__file__).resolve().parents[1]

COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
CODE = {".py", ".cpp", ".hpp"}
# Made by programs, and tables of Markdown, whose rows cannot be broken.
LONG_LINES_ALLOWED = re.compile(r"requirements/.*\.txt$|\.(json|jsonl|html|svg|golden)$")
EXAMPLE = "docs/example-report.html"  # as the report wrote it, to the byte
PRAGMA = re.compile(r"\s+(# (noqa|type:)|// NOLINT).*$")
UNFINISHED = re.compile(r"\b(FIX" r"ME|TO" r"DO|XX" r"X)\b")
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "misc"}

# Files whose prose is plain English: whoever rewrites more adds it here. docs/data.md is made from
# harness/contract.
PLAIN = re.compile(
    r"(harness/(contract|host|backends|variants|plan|store|gates|analysis|doctor|conformance|cli"
    r"|report)|bench)/.*\.py|README\.md|docs/.*\.md"
)
# Words for people that texts used for machines, old-fashioned ones, and riddles.
NOT_PLAIN = re.compile(
    r"\b(nobody|somebody|anybody|someone|whoever|tells|told|untold|beside|dear|for ever"
    r"|as it is|(is|are|was|were) to be|(server|load|kernel|harness|process|thread) who"
    r"|behind the back|without a word)\b",
    re.IGNORECASE,
)
# (file, word) → why it is right there.
NOT_PLAIN_ALLOWED: dict[tuple[str, str], str] = {}

# Modules of the same name have the same role in different places. A command is named for its verb.
SAME_ROLE = {"__init__", "__main__", "launch"}


@functools.cache
def tracked() -> tuple[Path, ...]:
    """All files of the repository, those not yet added too."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    command += ["--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if found.returncode != 0:
        pytest.skip(f"not a git checkout: {found.stderr.strip()}")
    paths = (ROOT / name for name in found.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


@functools.cache
def texts() -> dict[str, str]:
    """Path from the root → content, of every file that is text."""
    found = {}
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content:
            found[str(path.relative_to(ROOT))] = content.decode()
    return found


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Dotted name → syntax tree, of every module of the package."""
    found = {}
    for path, text in texts().items():
        if path.startswith("harness/") and path.endswith(".py"):
            name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            found[name] = ast.parse(text, path)
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of all that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_line_is_too_long() -> None:
    long = [
        f"{path}:{number}: {len(PRAGMA.sub('', line))} columns"
        for path, text in texts().items()
        if not LONG_LINES_ALLOWED.search(path)
        for number, line in enumerate(text.splitlines(), start=1)
        if len(PRAGMA.sub("", line)) > COLUMNS_MAX
        and not (path.endswith(".md") and line.startswith("|"))
    ]

    assert not long, "\n".join(long)


def python_functions(text: str) -> Iterator[tuple[int, int]]:
    """First line and number of lines of every function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, (node.end_lineno or 0) - node.lineno + 1


def cpp_functions(text: str) -> Iterator[tuple[int, int]]:
    """The same for C++, told by the layout: `) … {` up to the `}` of the same indent."""
    lines = text.splitlines()
    for first, line in enumerate(lines):
        head = re.match(
            r"( *)(?!if|for|while|switch|else|\}|namespace|class|struct).*\).*\{$", line
        )
        if not head:
            continue
        for last in range(first + 1, len(lines)):
            if lines[last].startswith(f"{head[1]}}}"):
                yield first + 1, last - first + 1
                break


FUNCTIONS = {".py": python_functions, ".cpp": cpp_functions, ".hpp": cpp_functions}


def test_no_function_is_too_long() -> None:
    long = [
        f"{path}:{first}: {lines} lines"
        for path, text in texts().items()
        if Path(path).suffix in FUNCTIONS
        for first, lines in FUNCTIONS[Path(path).suffix](text)
        if lines > FUNCTION_LINES_MAX
    ]

    assert not long, "\n".join(long)


def test_the_length_of_functions_is_told_in_both_languages() -> None:
    python = "def one():\n    pass\n\ndef two():\n    return [\n    ]\n"
    cpp = "int one(int x) {\n  if (x) {\n    x = 1;\n  }\n  return x;\n}\n"

    assert list(python_functions(python)) == [(1, 2), (4, 3)]
    assert list(cpp_functions(cpp)) == [(1, 6)]


def test_no_file_of_code_is_too_long() -> None:
    lengths = {
        path: text.count("\n") for path, text in texts().items() if Path(path).suffix in CODE
    }

    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_nothing_is_marked_as_unfinished() -> None:
    marks = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if UNFINISHED.search(line)
    ]

    assert not marks, "\n".join(marks)


def prose_of_python(text: str) -> Iterator[str]:
    """The docstrings, comments and texts of a module, each on one line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value
    comment: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comment.append(token.string.removeprefix("#"))
        elif token.type not in (tokenize.NL, tokenize.NEWLINE):
            yield " ".join(comment)
            comment = []
    yield " ".join(comment)


def prose_of_markdown(text: str) -> Iterator[str]:
    """The paragraphs of a page without its blocks of code."""
    yield from re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE).split("\n\n")


def words_not_plain(path: str, text: str) -> Iterator[str]:
    """Words of `NOT_PLAIN` in the prose of a file. Names in backticks are no prose."""
    pieces = prose_of_python(text) if path.endswith(".py") else prose_of_markdown(text)
    for piece in pieces:
        line = " ".join(re.sub(r"`[^`]*`", "", piece).split())
        for found in NOT_PLAIN.finditer(line):
            if (path, found[0].lower()) not in NOT_PLAIN_ALLOWED:
                yield f"{path}: {line[max(0, found.start() - 40) : found.end() + 40]}"


def test_prose_is_plain() -> None:
    plain = {path: text for path, text in texts().items() if PLAIN.fullmatch(path)}
    found = [line for path, text in plain.items() for line in words_not_plain(path, text)]

    assert {path.partition("/")[0] for path in plain} == {"harness", "bench", "docs", "README.md"}
    assert not found, "\n".join(found)


def test_words_that_are_not_plain_are_found_across_lines_and_not_in_code() -> None:
    python = '"""Which\nnobody `tells`."""\ntold = 1  # read for\n# ever\nx = f"{told} beside it"\n'
    markdown = "The kernel\nis to be asked.\n\n```sh\ntold\n```\n"

    assert len(list(words_not_plain("a.py", python))) == 3
    assert len(list(words_not_plain("a.md", markdown))) == 1


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [path for path in texts() if Path(path).stem in VAGUE_NAMES] == []


def test_every_text_file_ends_in_one_newline_and_no_line_in_blanks() -> None:
    ours = {path: text for path, text in texts().items() if path != EXAMPLE}
    untidy = [path for path, text in ours.items() if text and not re.search(r"\S\n\Z", text)]
    untidy += [path for path, text in ours.items() if re.search(r"[ \t]$", text, re.MULTILINE)]

    assert not untidy, "\n".join(untidy)


def test_every_module_is_on_a_floor() -> None:
    floors = {name.split(".")[1] for name in modules() if name.count(".") > 0}
    contract = tomllib.loads(texts()["pyproject.toml"])["tool"]["importlinter"]["contracts"][0]
    layers = {name.strip() for layer in contract["layers"] for name in layer.split("|")}

    assert floors == layers


def test_no_two_modules_have_the_same_name() -> None:
    """But those of the same role."""
    packages = {name for name in modules() if any(o.startswith(f"{name}.") for o in modules())}
    commands = {name for name in modules() if name.startswith("harness.cli.commands.")}
    found: dict[str, list[str]] = {}
    for name in modules().keys() - packages - commands:
        found.setdefault(name.rpartition(".")[2], []).append(name)
    twice = {base: names for base, names in found.items() if len(names) > 1}

    assert twice.keys() <= SAME_ROLE, twice


def test_every_folder_says_what_it_is_for_and_what_it_does_not_know() -> None:
    packages = {name for name in modules() if any(o.startswith(f"{name}.") for o in modules())}
    silent = [name for name in packages if not ast.get_docstring(modules()[name])]

    assert not silent, "\n".join(silent)


def test_every_module_is_imported_or_an_entry_point() -> None:
    project = tomllib.loads(texts()["pyproject.toml"])["project"]
    used = {target.partition(":")[0] for target in project["scripts"].values()}
    used |= {f"harness.cli.commands.{name}" for name in main.COMMANDS}
    for name, tree in modules().items():
        full = set(imported(tree)) - {name}
        used |= full | {parent.rpartition(".")[0] for parent in full}
    # A package is loaded with its modules; `python -m` starts a `__main__`.
    dead = [
        name
        for name in modules()
        if name not in used
        and not name.endswith(".__main__")
        and not any(other.startswith(f"{name}.") for other in modules())
    ]

    assert not dead, "\n".join(dead)


def scripts() -> list[str]:
    shebang = re.compile(r"#!.*\b(ba)?sh\b")
    return [path for path, text in texts().items() if shebang.match(text)]


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing() -> None:
    assert ".ci/run" in scripts()
    found = subprocess.run(
        ["shellcheck", *scripts()], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert found.stdout == ""


def locked(name: str) -> dict[str, set[Version]]:
    """Project name → pinned versions (markers choose one) in one file of the lock."""
    pins: dict[str, set[Version]] = {}
    for line in texts()[f"requirements/{name}.txt"].splitlines():
        pin = re.match(r"([a-z0-9-]+)==(\S+)", line)
        if pin:
            pins.setdefault(pin[1], set()).add(Version(pin[2]))
    return pins


def test_the_lock_holds_every_dependency_at_a_version_that_the_project_accepts() -> None:
    project = tomllib.loads(texts()["pyproject.toml"])
    wanted = {
        "run": project["project"]["dependencies"],
        "build": project["build-system"]["requires"],
        "test": project["dependency-groups"]["test"],
    }
    wrong = []
    for name, requirements in wanted.items():
        pins = locked(name)
        for requirement in map(Requirement, requirements):
            versions = pins.get(requirement.name.lower(), set())
            if not versions or not all(map(requirement.specifier.contains, versions)):
                wrong.append(f"{name}.txt: {requirement}: {sorted(map(str, versions))}")

    assert not wrong, "\n".join(wrong)


def test_the_files_of_the_lock_agree_with_each_other() -> None:
    run, build, test = locked("run"), locked("build"), locked("test")

    for one, other in ((run, build), (run, test), (build, test)):
        shared = one.keys() & other.keys()
        assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_the_lock_names_no_registry_and_pins_every_file() -> None:
    for path, text in texts().items():
        if re.fullmatch(r"requirements/.*\.txt", path):
            assert "://" not in text
            assert set(re.findall(r"--[a-z-]+", text)) == {"--hash"}


def run_marked(directory: Path, **environment: str) -> str:
    """Run one test that is marked `docker` where no engine answers; return what pytest says."""
    for name in ("conftest.py", "lanes.py"):
        shutil.copy(ROOT / "tests" / name, directory)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers = docker\n")
    (directory / "test_marked.py").write_text(
        "import pytest\n\n@pytest.mark.docker\ndef test_marked():\n    pass\n"
    )
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", str(directory)],
        env={
            "DOCKER_HOST": f"unix://{directory}/none.sock",
            "PYTHONPATH": str(ROOT / "tests/support"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    return found.stdout


def test_a_missing_engine_skips_its_tests_and_says_why(tmp_path: Path) -> None:
    output = run_marked(tmp_path)

    assert "1 skipped" in output
    assert "no Docker engine answers" in output


def test_a_missing_engine_fails_its_tests_where_it_is_required(tmp_path: Path) -> None:
    output = run_marked(tmp_path, C10K_REQUIRE_DOCKER="1")

    assert "1 error" in output
    assert "no Docker engine answers" in output


def test_the_first_build_of_the_harness_prints_a_line_per_step() -> None:
    """Packages alone are 800 lines. What fails is on standard error."""
    dockerfile = texts()["Dockerfile"].replace("\\\n", " ")
    steps = re.findall(r"^RUN (.*)$", dockerfile, re.MULTILINE)

    assert all(step.startswith("echo 'c10k: ") for step in steps)
    for command in re.split(r"&&|\n", dockerfile):
        if "apt-get" in command:
            assert "apt-get -qq" in command
            assert "install" not in command or ">/dev/null" in command
    before_pip = dockerfile.partition("pip install")[0]
    assert "ENV PIP_QUIET=1" in before_pip
