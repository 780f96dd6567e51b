"""The error rates that the looks promise, in simulated campaigns (bench/simulate_looks.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from simulate_looks import FIRST, NOISES, Noise, simulate

from harness.analysis.looks import ALPHA, Look

CAMPAIGNS = 100
SEED = 5
# Three standard errors of a share of α above it: chance is no failure.
ALLOWED = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / CAMPAIGNS)
QUIET, USUAL, _, ROUGH = NOISES


@dataclass(frozen=True, slots=True)
class Impatient(Look):
    """A look that takes each pair for the only one, and itself for the only look."""

    def confidence_of(self, comparisons: int) -> float:
        return 1 - ALPHA

    @property
    def following(self) -> Look:
        return Impatient(self.number + 1, self.blocks + 4)


@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: str(noise.name))
def test_equal_servers_are_seldom_shown_to_differ_at_any_look(noise: Noise) -> None:
    found = simulate(noise, 1.0, CAMPAIGNS, SEED)

    assert found.share(found.false_different) <= ALLOWED


@pytest.mark.parametrize("noise", [QUIET, ROUGH], ids=lambda noise: str(noise.name))
def test_equal_servers_of_two_waves_are_seldom_shown_to_differ(noise: Noise) -> None:
    found = simulate(noise, 1.0, CAMPAIGNS, SEED, waves=True)

    assert found.share(found.false_different) <= ALLOWED


def test_the_anchor_costs_a_share_of_the_verdicts_and_no_more() -> None:
    """On a quiet host four fifths of the equal pairs are settled, of different waves as well."""
    whole, apart = (simulate(QUIET, 1.0, CAMPAIGNS, SEED, waves=waves) for waves in (False, True))

    assert 0.8 < apart.of_pairs(apart.equivalent) <= whole.of_pairs(whole.equivalent)
    assert apart.blocks > whole.blocks


@pytest.mark.parametrize("noise", [QUIET, USUAL, ROUGH], ids=lambda noise: str(noise.name))
def test_servers_that_are_5_percent_apart_are_seldom_shown_to_be_equivalent(noise: Noise) -> None:
    found = simulate(noise, 1.05, CAMPAIGNS, SEED)

    assert found.share(found.false_equivalent) <= ALLOWED


def test_a_rule_that_ignores_looks_and_pairs_breaks_both_bounds() -> None:
    """So the simulation can fail."""
    first = Impatient(1, FIRST)
    equal = simulate(ROUGH, 1.0, CAMPAIGNS, SEED, first)
    apart = simulate(QUIET, 1.05, CAMPAIGNS, SEED, first)

    assert equal.share(equal.false_different) > ALLOWED
    assert apart.share(apart.false_equivalent) > ALPHA


def test_on_a_quiet_host_verdicts_come_and_early() -> None:
    equal = simulate(QUIET, 1.0, CAMPAIGNS, SEED)
    apart = simulate(QUIET, 1.10, CAMPAIGNS, SEED)

    assert equal.of_pairs(equal.equivalent) > 0.9
    assert apart.of_pairs(apart.different) > 0.9
    for found in (equal, apart):
        assert sum(found.stopped.values()) > 0.9 * CAMPAIGNS
        assert found.blocks / CAMPAIGNS < 12


def test_the_same_seed_gives_the_same_campaigns() -> None:
    assert simulate(USUAL, 1.03, 20, SEED) == simulate(USUAL, 1.03, 20, SEED)
