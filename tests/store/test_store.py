"""The store: nothing that was measured is lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.campaign.campaign_run import mark_abandoned
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import HostNotFit, Interrupted, UsageError
from harness.store import campaign_store, stored_shapes
from harness.store.campaign_store import Campaign

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")


def test_cells_come_back_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    campaign = Campaign.create(tmp_path, "one", CampaignHead.of({"state": "running"}))
    for cell in range(3):
        campaign.append_cell({"cell": cell})

    assert [record["cell"] for record in campaign.cells()] == [0, 1, 2]
    assert all(record["schema"] == campaign_store.SCHEMA for record in campaign.cells())
    assert Campaign.open(tmp_path, "one").head().state == "running"


def test_a_line_that_a_crash_cut_short_loses_only_itself(tmp_path: Path) -> None:
    campaign = Campaign.create(tmp_path, "one", CampaignHead())
    campaign.append_cell({"cell": 0})
    path = campaign.directory / campaign_store.TRIALS_FILE
    with path.open("ab") as file:
        file.write(b'{"cell": 1, "lat')

    assert [record["cell"] for record in campaign.cells()] == [0]
    campaign.append_cell({"cell": 2})
    assert [record["cell"] for record in campaign.cells()] == [0, 2]


def test_only_what_was_appended_is_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    parse = stored_shapes.parse

    def counted(line: bytes) -> object:
        parsed.append(line)
        return parse(line)

    monkeypatch.setattr(stored_shapes, "parse", counted)
    campaign = Campaign.create(tmp_path, "one", CampaignHead())
    for cell in range(3):
        campaign.append_cell({"cell": cell})
        assert [one["cell"] for one in campaign.cells()] == list(range(cell + 1))
    path = campaign.directory / campaign_store.TRIALS_FILE
    assert [line for line in parsed if b"cell" in line] == path.read_bytes().splitlines()

    campaign.cells()[0]["cell"] = 9
    assert campaign.cells()[0]["cell"] == 0
    first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first.replace("0", "7", 1), *rest]))
    assert [one["cell"] for one in campaign.cells()] == [7, 1, 2]


def test_a_full_disk_is_told_with_the_way_to_go_on() -> None:
    campaign = Campaign(Path("/dev"))
    # /dev/full fails every write with ENOSPC (full(4)).
    with pytest.raises(HostNotFit) as raised:
        campaign._append("full", {"cell": 0})

    assert os.strerror(errno.ENOSPC) in raised.value.message
    assert "--resume" in raised.value.hint


def in_small_disk(tmp_path: Path, options: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program where `tmp_path/disk` is a disk of its own; nothing of it is left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o {options} tmpfs "$1" && exec "$2" -c "$3" "$1"'
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", mount, "sh", str(disk), sys.executable, program],
        capture_output=True,
        text=True,
        timeout=60,
    )


BEGIN = """
import sys, pathlib
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import HostNotFit
from harness.store.campaign_store import Campaign
reports = pathlib.Path(sys.argv[1])
try:
    Campaign.create(reports, "one", CampaignHead.of({}))
except HostNotFit as error:
    print(error.message, error.hint)
print(list(reports.iterdir()))
"""
DRAW = """
import sys, pathlib
from harness.contract.campaign_head import CampaignHead
from harness.contract.errors import HostNotFit
from harness.store.campaign_store import Campaign
campaign = Campaign.create(pathlib.Path(sys.argv[1]), "one", CampaignHead.of({"state": "done"}))
campaign.write("report.html", "old")
try:
    campaign.write("report.html", "x" * 200_000)
except HostNotFit as error:
    print(error.message, error.hint)
print(sorted(path.name for path in campaign.directory.iterdir()))
print(campaign.head().state, (campaign.directory / "report.html").read_text())
"""


@as_root
@pytest.mark.parametrize("inodes", [1, 2])
def test_a_campaign_that_finds_no_inode_leaves_nothing(tmp_path: Path, inodes: int) -> None:
    done = in_small_disk(tmp_path, f"nr_inodes={inodes}", BEGIN)

    assert "No space left on device Make room (`df -h`, `df -i`), run" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@as_root
def test_a_report_that_a_full_disk_does_not_take_leaves_the_old_one(tmp_path: Path) -> None:
    done = in_small_disk(tmp_path, "size=64k", DRAW)

    assert "report.html: cannot be written: No space left on device" in done.stdout, done.stderr
    assert "`c10k report one`" in done.stdout
    assert done.stdout.splitlines()[1:] == ["['campaign.json', 'report.html']", "done old"]


# Root without the capabilities that let it pass
PLAIN = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")


@as_root
def test_a_directory_that_may_not_be_written_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    campaign = Campaign.create(tmp_path, "one", CampaignHead.of({"state": "done"}))
    campaign.directory.chmod(0o555)
    program = (
        "import sys, pathlib\nfrom harness.contract.errors import HostNotFit\n"
        "from harness.store.campaign_store import Campaign\n"
        "try: Campaign(pathlib.Path(sys.argv[1])).write('report.html', 'x')\n"
        "except HostNotFit as error: print(error.message, error.hint)\n"
    )
    done = subprocess.run(
        [*PLAIN, sys.executable, "-c", program, str(campaign.directory)],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert "cannot be written: Permission denied" in done.stdout, done.stderr
    assert "writable for this user" in done.stdout
    assert [path.name for path in campaign.directory.iterdir()] == ["campaign.json"]


@as_root
def test_a_file_that_cannot_be_given_away_is_kept(tmp_path: Path) -> None:
    """In a user namespace the owner of the directory may have no number."""
    os.chown(tmp_path, 12_345, 12_345)
    tmp_path.chmod(0o777)
    program = (
        "import sys, pathlib\nfrom harness.contract.campaign_head import CampaignHead\n"
        "from harness.store.campaign_store import Campaign\n"
        "made = Campaign.create(pathlib.Path(sys.argv[1]), 'one', CampaignHead())\n"
        "print(made.head().campaign)\n"
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)

    assert done.stdout == "one\n", done.stderr


def test_a_name_that_is_no_utf_8_comes_back_as_it_was(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.toml")
    campaign = Campaign.create(tmp_path, "one", CampaignHead.of({"argv": [name]}))
    campaign.append_outcome({"outcome": "failed", "code": "build-failed", "text": name})

    assert campaign.head().as_json()["argv"] == [name]
    assert campaign.outcomes()[0]["text"] == name


def test_a_number_that_json_cannot_hold_is_refused_before_it_is_written(tmp_path: Path) -> None:
    campaign = Campaign.create(tmp_path, "one", CampaignHead())

    with pytest.raises(ValueError, match="JSON"):
        campaign.append_cell({"rate": float("nan")})

    assert campaign.cells() == []


def test_another_schema_is_refused_and_named(tmp_path: Path) -> None:
    campaign = Campaign.create(tmp_path, "one", CampaignHead())
    campaign.write("campaign.json", '{"schema": 99}')

    with pytest.raises(UsageError, match="schema 99"):
        campaign.head()


def test_an_unknown_campaign_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    Campaign.create(tmp_path, "one", CampaignHead())

    with pytest.raises(UsageError) as raised:
        Campaign.open(tmp_path, "two")

    assert "one" in raised.value.hint


def test_a_campaign_is_found_by_its_path_as_well(tmp_path: Path) -> None:
    Campaign.create(tmp_path, "one", CampaignHead())

    assert Campaign.open(tmp_path, f"{tmp_path}/one").name == "one"


def test_a_replaced_file_is_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = campaign_store.replace(tmp_path / "a.json", json.dumps([1]))
    campaign_store.replace(path, json.dumps([2]))

    assert json.loads(path.read_text()) == [2]
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


@as_root
def test_files_belong_to_the_owner_of_the_reports_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 4321)
    campaign = Campaign.create(tmp_path, "one", CampaignHead())
    campaign.append_cell({"cell": 0})
    campaign.append_outcome({"trial": "x"})
    campaign.write("report.html", "<p>")

    for path in (campaign.directory, *campaign.directory.iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321), path


def test_a_killed_campaign_that_cannot_be_drawn_is_marked_and_keeps_no_other(
    tmp_path: Path,
) -> None:
    names = ("20260301-100000-quick", "20260301-110000-quick")
    killed = [
        Campaign.create(tmp_path, name, CampaignHead.of({"state": "running"})) for name in names
    ]

    def redraw(campaign: Campaign) -> None:
        if campaign.name == names[0]:
            raise ZeroDivisionError("no blocks")

    undrawn, drawn = mark_abandoned(tmp_path, redraw)
    assert undrawn.startswith(names[0])
    assert "ZeroDivisionError: no blocks" in undrawn
    assert str(killed[0].directory) in undrawn
    assert drawn.startswith(f"{names[1]} had been killed: its report")
    assert [one.head().state for one in killed] == ["interrupted", "interrupted"]


def test_an_interrupt_while_a_killed_campaign_is_drawn_ends_the_run(tmp_path: Path) -> None:
    Campaign.create(tmp_path, "20260301-100000-quick", CampaignHead.of({"state": "running"}))

    def redraw(campaign: Campaign) -> None:
        raise Interrupted("SIGINT")

    with pytest.raises(Interrupted):
        mark_abandoned(tmp_path, redraw)


def test_a_campaign_is_found_from_its_own_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Campaign.create(tmp_path / "reports", "one", CampaignHead.of({"schema": 1}))
    (tmp_path / "reports/one/charts").mkdir()
    monkeypatch.chdir(tmp_path / "reports/one/charts")

    assert Campaign.open(Path("reports"), "..").name == "one"
    monkeypatch.chdir(tmp_path / "reports/one")
    assert Campaign.open(Path("reports"), ".").name == "one"
    with pytest.raises(UsageError, match="no campaign"):
        Campaign.open(Path("reports"), "../..")


def test_a_directory_of_the_name_of_its_file_is_no_campaign(tmp_path: Path) -> None:
    (tmp_path / "mine/campaign.json").mkdir(parents=True)

    with pytest.raises(UsageError, match="no campaign `mine`") as raised:
        Campaign.open(tmp_path, "mine")

    assert raised.value.hint == "The directory has no campaigns."
