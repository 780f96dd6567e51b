"""A server that this host cannot run is left out, with its own words, and nobody is to blame."""

from __future__ import annotations

import pytest
from command import C10k

UNABLE = """
import sys
sys.exit(print("unable: io_uring is not available here", file=sys.stderr) or 69)
"""


@pytest.mark.slow
@pytest.mark.parametrize("conformance", ["off", "quick"])
def test_a_server_that_the_host_cannot_run_is_not_at_fault(c10k: C10k, conformance: str) -> None:
    c10k.add_server("unable", UNABLE)

    done = c10k.run(c10k.profile(conformance=conformance))

    assert done.code == 0, done.err + done.out
    outcomes = {outcome["variant"]: outcome for outcome in done.outcomes}
    assert outcomes["unable"]["code"] == "not-available"
    text = "not available here: unable: io_uring is not available here"
    assert outcomes["unable"]["text"] == text
    assert text in (done.directory / "report.html").read_text()
