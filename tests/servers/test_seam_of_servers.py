"""Variants of one family differ in their mechanism, and in nothing else."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from serving import BUILD_S, PLAIN, SERVERS, Flavour, build, require_packages, variants

MECHANISM_LINES_MAX = 150
DESCRIPTION = re.compile(
    r"^(title|architecture|summary|workers|connections_max|beyond|reason) = .*\n", re.M
)
# What a mechanism needs in addition to a compiler, in the image and on the host
LIBRARY = re.compile(
    r"^RUN apt-get update \\\n[^\n]* liburing-dev \\\n[^\n]*\n"
    r'|^\n\[process\.requires\]\n"[^\n]*" = "liburing-dev"\n',
    re.M,
)


def files(variant: str) -> set[str]:
    return {path.name for path in (SERVERS / variant).iterdir()}


def without_its_name(variant: str, file: str) -> str:
    text = (SERVERS / variant / file).read_text()
    if file == "variant.toml":
        text = DESCRIPTION.sub("", text).replace("\n[limits]\n", "")
    return LIBRARY.sub("", text).replace(variant, "NAME")


@pytest.mark.parametrize("variant", variants())
def test_only_the_mechanism_differs_between_two_variants(variant: str) -> None:
    other = "epoll-lt" if variant != "epoll-lt" else "epoll-et"

    assert files(other) == {"Dockerfile", "server.cpp", "variant.toml"}
    assert {file for file in files(variant) ^ files(other) if not file.endswith(".hpp")} == set()
    for file in ("Dockerfile", "variant.toml"):
        assert without_its_name(variant, file) == without_its_name(other, file)


@pytest.mark.parametrize("variant", variants())
def test_a_mechanism_fits_on_a_few_screens(variant: str) -> None:
    for path in (SERVERS / variant).glob("*.[ch]pp"):
        assert len(path.read_text().splitlines()) <= MECHANISM_LINES_MAX, path


@pytest.mark.parametrize("variant", variants())
def test_the_command_that_it_declares_builds_what_it_declares_to_run(variant: str) -> None:
    build("")
    require_packages(variant)
    process = variants()[variant]["process"]

    made = subprocess.run(
        process["build"], cwd=SERVERS / variant, capture_output=True, text=True, timeout=BUILD_S
    )

    assert made.returncode == 0, made.stderr
    assert (SERVERS / variant / process["command"][0]).resolve() == SERVERS / "build" / variant


@pytest.mark.parametrize("flavour", PLAIN, ids=str)
def test_the_runtime_needs_no_library_of_the_compiler(flavour: Flavour) -> None:
    listed = subprocess.run(
        ["ldd", flavour.binary()], capture_output=True, text=True, check=True, timeout=10
    )
    assert not re.search(r"libstdc\+\+|libgcc", listed.stdout)


def test_what_was_built_is_not_sent_to_the_engine() -> None:
    assert "build/" in (SERVERS / ".dockerignore").read_text().splitlines()


def test_an_unknown_sanitizer_is_refused() -> None:
    made = subprocess.run(
        ["make", "-C", str(SERVERS), "SANITIZE=magic", "all"],
        capture_output=True,
        text=True,
        timeout=10,
    )

    assert made.returncode != 0
    assert "SANITIZE=magic: expected address or thread" in made.stderr
    assert not Path(SERVERS / "build/magic").exists()
