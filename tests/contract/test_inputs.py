"""Generated bad inputs, a few of those that `make bench-inputs` makes."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_inputs import case
from bench_inputs import fault

SEED, COUNT = 11, 60


@pytest.mark.parametrize("number", range(COUNT))
def test_a_bad_input_ends_as_documented(number: int, tmp_path: Path) -> None:
    made = case(SEED, number, tmp_path)

    assert fault(made) is None, (made.arguments, made.note)
