"""The engine without Python, under the sanitizers: memory, undefined behaviour and data races."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

DIRECTORY = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("sanitizer", ["address", "thread"])
def test_the_sanitizers_find_nothing(sanitizer: str) -> None:
    make = ["make", "-j2", "-C", str(DIRECTORY), f"SANITIZE={sanitizer}"]
    built = subprocess.run(make, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr

    driver = DIRECTORY.parents[1] / "build/engine-driver" / sanitizer / "driver"
    ran = subprocess.run([driver], capture_output=True, text=True, timeout=300)

    assert (ran.stdout, ran.returncode) == ("ok\n", 0), ran.stdout + ran.stderr
    assert ran.stderr == ""
