"""What the doctor said, in the report."""

from __future__ import annotations

from synthetic import campaign, outcomes, records

from harness import doctor
from harness.doctor import Ask, Facts
from harness.report import model
from harness.report.page import html

TIGHT = Facts(
    *(True, (), 20_000, 1_048_576),
    kernel_pid_max=4_400,
    tasks=400,
    net_core_netdev_max_backlog=1_000,
    cores=((0,), (1,)),
)


def test_the_report_says_what_the_doctor_found_and_what_changes_it() -> None:
    head = campaign()
    answer = doctor.examine(TIGHT, Ask(connections=10_000, backend="process"))
    head["doctor"] = answer.as_json()
    built = model.build(head, records(head), outcomes(head))
    page = html.render(built)

    assert built.fitness is not None
    assert "The host holds at most 19,800 connections, bound by nofile" in page
    assert "The host holds at most 4,000 threads, bound by pid-max" in page
    shown = [found.check for found in built.fitness.findings]
    assert shown[:2] == ["pid-max", "netdev-backlog"]
    assert "nofile" not in shown
    assert "sudo sysctl -w net.core.netdev_max_backlog=10000" in page


def test_a_campaign_that_asked_no_doctor_has_no_such_section() -> None:
    head = campaign()
    built = model.build(head, records(head), outcomes(head))

    assert built.fitness is None
    assert 'id="doctor"' not in html.render(built)
