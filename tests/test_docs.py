"""The documentation says what the program does, and what it shows runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from harness.cli import main
from harness.contract.errors import EXIT_MEANINGS
from harness.plan.profiles import profile as profiles
from harness.plan.profiles.profile import Profile, ScenarioUse, Timeouts, Timing, Traffic
from harness.plan.scenarios import CALIBRATION, SCENARIOS
from harness.report.page.glossary import GLOSSARY
from harness.variants.variant_files import VariantFile

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.name: path.read_text("utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
}
START_TIMEOUT_S = 10

# Commands that a test would start an engine, a browser or an hour of work for: run by CI, or by
# the tests named. Each is written as (file, text in it that runs the command).
RUN_ELSEWHERE = {
    "docker compose up": (".ci/run", "up --exit-code-from harness"),
    "docker compose up --exit-code-from harness": (".ci/run", "up --exit-code-from harness"),
    "docker compose -f docker-compose.yml -f docker-compose.pid.yml up": (
        "tests/campaign/test_docker_others.py",
        "docker compose -f docker-compose.yml -f docker-compose.pid.yml up",
    ),
    "docker compose down": (".ci/run", '"${project[@]}" down'),
    "docker compose run --rm harness new mine": ("tests/campaign/test_compose.py", '"new", "mine"'),
    "docker compose run --rm harness check mine": (
        "tests/campaign/test_compose.py",
        '"check", "mine"',
    ),
    "docker compose run --rm harness run --profile mine.toml --servers mine,epoll-lt": (
        "tests/campaign/test_compose.py",
        '"run", "--profile", "mine.toml", "--servers", "mine,epoll-lt"',
    ),
    "make bench": (".ci/run", " bench PROFILE=smoke"),
    "make bench PROFILE=smoke SERVERS=poll,epoll-lt": (
        ".ci/run",
        " bench PROFILE=smoke SERVERS=poll,epoll-lt",
    ),
    "make test": (".ci/run", "make test"),
    "make lint": ("Makefile", "test: lint"),
}
# Shown, but not run by any check, with the reason.
NOT_RUN = {
    "make format": "changes files",
    "make bench-engine": "takes minutes, and its figures are read by people",
    "make bench-independent": "takes minutes, and its figures are read by people",
    "make bench-self": "takes half an hour, and its figures are read by people",
    "make bench-backends": "takes half an hour, and its figures are read by people",
    "make bench-accounts": "takes half an hour on a host that does nothing else",
    "make bench-inputs": "takes minutes; a tenth of its inputs is in tests/contract/test_inputs.py",
    "make bench-profile": "takes minutes and perf, and its figures are read by people",
    "make bench-kills": "takes a quarter of an hour",
    "make bench-looks": "takes minutes; tests/analysis/test_simulated_looks.py runs a small part",
    "make bench-around": "takes minutes on a host that does nothing else",
}


def commands(text: str) -> list[str]:
    """The lines of all blocks of shell, without the variables that they set."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [re.sub(r"^(\w+=\S+ )+", "", line) for line in lines]


def shown() -> list[str]:
    """All but those of the page that a test of its own runs from top to bottom."""
    pages = [text for name, text in PAGES.items() if name != "add-a-server.md"]
    return sorted({command for text in pages for command in commands(text)})


def command_named(name: str) -> click.Command:
    found = main.cli.get_command(click.Context(main.cli), name)
    assert found is not None
    return found


def options() -> Iterator[tuple[str, click.Option]]:
    """Every option of every command."""
    for name in main.COMMANDS:
        for parameter in command_named(name).params:
            if isinstance(parameter, click.Option):
                yield name, parameter


def section(command: str) -> str:
    """The part of docs/cli.md about one command."""
    found = re.search(rf"^## `c10k {command}\b.*?(?=^## |\Z)", PAGES["cli.md"], re.M | re.S)
    assert found, f"docs/cli.md has no section about `c10k {command}`"
    return found[0]


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_is_documented_and_has_help(name: str) -> None:
    assert command_named(name).help
    assert f"| [`c10k {name}" in PAGES["cli.md"]
    assert section(name)


@pytest.mark.parametrize(
    ("command", "option"),
    [pytest.param(*found, id=f"{found[0]} {found[1].name}") for found in options()],
)
def test_every_flag_is_documented_with_its_environment_variable(
    command: str, option: click.Option
) -> None:
    assert option.help
    assert f"`{option.opts[-1]}" in section(command)
    if option.envvar:
        assert f"`{option.envvar}`" in PAGES["cli.md"]


def test_no_flag_is_documented_that_does_not_exist() -> None:
    real = {name for _, option in options() for name in option.opts} | {"--help", "--version"}
    ours = set()
    for text in PAGES.values():
        ours |= set(re.findall(r"`(--[a-z-]+)", text))
        ours |= {
            word for line in commands(text) if line.startswith("c10k") for word in line.split()
        }

    assert {flag for flag in ours if flag.startswith("--")} - real == set()


def test_the_table_of_exit_codes_is_the_one_of_the_program() -> None:
    table = dict(re.findall(r"^\| (\d+) \| (.*) \|$", PAGES["cli.md"], re.MULTILINE))

    assert table == {str(code.value): meaning for code, meaning in EXIT_MEANINGS.items()}


def test_every_key_of_a_variant_file_is_documented() -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` \|", PAGES["add-a-server.md"], re.MULTILINE))

    assert documented == set(keys_of(VariantFile))


def test_every_key_of_a_profile_is_documented_and_no_other() -> None:
    text = section("run")
    of_profile, of_scenario = (
        re.findall(r"^\| `(?:\[\[)?([a-z_]+)(?:\]\])?` \| (.*) \|$", table, re.MULTILINE)
        for table in text.partition("A profile is a TOML file")[2].split("Keys of each scenario:")
    )

    assert {key for key, _ in of_profile} == set(Profile.model_fields)
    assert {key for key, _ in of_scenario} == set(ScenarioUse.model_fields)
    inner: dict[str, type[BaseModel]] = {
        "timing": Timing,
        "timeouts": Timeouts,
        "traffic": Traffic,
    }
    for key, model in inner.items():
        said = set(re.findall(r"`([a-z_]+)`", dict(of_profile)[key]))
        assert said == set(model.model_fields), key
    offered = [f"`{name}`" for name in SCENARIOS if name != CALIBRATION]
    assert all(name in dict(of_scenario)["name"] for name in offered)


def test_every_profile_that_ships_is_named_by_the_command_and_its_page() -> None:
    (option,) = [one for name, one in options() if (name, one.name) == ("run", "profile")]

    for name in profiles.names():
        assert name in str(option.help)
        assert f"`{name}`" in section("run")


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            yield from keys_of(inner[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_target_of_the_makefile_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {name for text in PAGES.values() for name in re.findall(r"`make ([a-z][a-z-]*)", text)}

    assert named - targets == set()


def test_the_glossary_of_the_docs_is_the_one_of_the_report() -> None:
    header, _, *rows = re.findall(r"^\|.*\|$", PAGES["glossary.md"], re.MULTILINE)

    assert header == "| term | meaning |"
    assert rows == [f"| {term} | {meaning} |" for term, meaning in GLOSSARY]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_between_pages_leads_to_a_file_and_to_a_heading_in_it() -> None:
    broken = []
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bench/results/*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text("utf-8")):
            page = path.parent / target if target else path
            if not page.exists() or (anchor and anchor not in anchors(page)):
                broken.append(f"{path.name}: {target}#{anchor}")

    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("command", shown())
def test_every_command_that_is_shown_is_run_somewhere(command: str) -> None:
    if command in NOT_RUN or command in RUN_ELSEWHERE:
        path, text = RUN_ELSEWHERE.get(command, ("Makefile", f"\n{command.split()[1]}:"))
        assert text in (ROOT / path).read_text("utf-8")
    elif command.startswith(("c10k report", "c10k drive", "c10k open", "c10k compare")):
        assert parses(command)
    elif command.startswith("c10k run"):
        assert c10k(*command.split()[1:], "--dry-run")
    else:
        assert command.startswith("c10k"), f"nothing runs: {command}"
        assert c10k(*command.split()[1:])


def parses(command: str) -> bool:
    name, *rest = shlex.split(command)[1:]
    with command_named(name).make_context(name, rest):
        return True


def c10k(*arguments: str, timeout_s: float = 60) -> str:
    """Run a command to its end, which must be good; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
