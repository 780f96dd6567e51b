"""Every form of the report of known campaigns, to the byte: what a change of code must not change.

Where a change is meant, `PYTHONPATH=bench python tests/support/rendered.py` writes what is stored
again, below tests/data.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from pathlib import Path

import synthetic
from inprocess import c10k

from harness.contract.campaign_head import CampaignHead
from harness.store.campaign_store import Campaign

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
STORED = DATA / "rendered"
DIGESTS = STORED / "digests.json"
# Campaigns as they lie on the disk (`first-…`: of the first edition, whose profiles were cut to one
# block of two servers), and one that is made up.
ON_DISK = ("kept", "short", "first-quick", "first-standard", "first-full")
TOYS = "toys"
CAMPAIGNS = (*ON_DISK, TOYS)
COMPARED = (("kept", "short", "text"), ("kept", "short", "json"), (TOYS, TOYS, "md"))
DRAWING = re.compile(r"<svg.*?</svg>", re.DOTALL)
TAG = re.compile(r"<[^>]*>")


def texts(reports: Path) -> dict[str, str]:
    """{name: text} of the tables in Markdown, which are stored whole."""
    return {name: _output("report", name, "--format", "md", reports=reports) for name in CAMPAIGNS}


def digests(reports: Path) -> dict[str, str]:
    """{what: digest} of all other forms.

    Of a drawing only its texts count: its coordinates depend on the fonts of the host.
    """
    found = {}
    for name in CAMPAIGNS:
        for form in ("json", "csv"):
            found[f"{name}.{form}"] = _output("report", name, "--format", form, reports=reports)
        _output("report", name, reports=reports)
        page = (reports / name / "report.html").read_text()
        found[f"{name}.html"] = DRAWING.sub(lambda drawn: TAG.sub(" ", drawn[0]), page)
    for one, other, form in COMPARED:
        arguments = ("compare", one, other, "--force", "--format", form)
        found[f"{one}-{other}.{form}"] = _output(*arguments, reports=reports)
    return {what: hashlib.sha256(text.encode()).hexdigest()[:16] for what, text in found.items()}


def laid_out(reports: Path) -> Path:
    """The campaigns in a directory of their own."""
    for name in ON_DISK:
        shutil.copytree(DATA / name, reports / name)
    head = synthetic.campaign(paced=True, others=True)
    toys = Campaign.create(reports, TOYS, CampaignHead.of(head))
    for record in synthetic.records(head):
        toys.append_cell(record)
    for outcome in synthetic.outcomes(head):
        toys.append_outcome(outcome)
    return reports


def _output(*arguments: str, reports: Path) -> str:
    ended = c10k(*arguments, "--reports", reports)
    if ended.code != 0:
        raise RuntimeError(f"{' '.join(arguments)}: exit {ended.code}: {ended.err}")
    return ended.out


def main() -> None:
    """Write what the tests compare with."""
    STORED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        reports = laid_out(Path(directory))
        for name, text in texts(reports).items():
            (STORED / f"{name}.golden").write_text(text)
        DIGESTS.write_text(json.dumps(digests(reports), indent=2) + "\n")


if __name__ == "__main__":
    main()
