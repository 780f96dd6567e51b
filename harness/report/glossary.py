"""The words of the report, as its readers meet them."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    ("variant", "One server to compare: one directory under servers/."),
    (
        "echoes per second of server CPU",
        "Echoes of a cell's turns, divided by the seconds that the kernel ran the server's tasks "
        "(ended processes included, ns). It does not depend on how fast the load is, so it ranks.",
    ),
    (
        "echoes/s",
        "Complete, verified echoes per second of the window. “≥”: the server's CPUs were less "
        "than 95 % busy, so the server could do more than it was asked.",
    ),
    (
        "closed loop",
        "Each active connection sends, waits for the reply, and sends again. Latency is then the "
        "time in the queue at full load; a slow server is asked less often.",
    ),
    ("idle, active", "idle: a few of N open connections talk. active: all of them do."),
    ("p99", "99 of 100 echoes took at most this long; from one histogram merged over trials."),
    (
        "±",
        "Half of the 95 % t interval of the mean over trials, on the log scale. A trial is a "
        "fresh server process; fewer than three give no interval.",
    ),
    (
        "slower by",
        "Rate of the best divided by this server's, paired inside blocks and averaged on the "
        "log scale. Its interval is a repeated one: with 95 % probability all such intervals of a "
        "cell, at all looks, contain their true ratios.",
    ),
    (
        "look",
        "Verdicts are made after the planned blocks and then after every 4 more. Between two "
        "looks none changes.",
    ),
    (
        "different, equivalent, not settled",
        "different: the interval excludes 1 and the effect is at least 5 %. equivalent: the "
        "interval lies inside 1 ± 5 %. not settled (inconclusive): neither; more blocks may tell.",
    ),
    (
        "rank",
        "All pairs are compared. 2: the only possible place. 1=: shared by servers of which every "
        "pair is equivalent. 1–3: any of these places, since a pair is not settled or equivalent.",
    ),
    ("valid, noisy, void", "What the checks above make of a cell. Void cells are in no figure."),
    (
        "unproven",
        "No self-test of the load generator passed next to the cell's block. In no figure.",
    ),
    ("capped", "The architecture itself stops there, as its variant.toml declares: a result."),
    ("held", "Sockets of the server's port that the kernel counts as ESTABLISHED, lowest seen."),
    (
        "KiB/conn",
        "Anonymous and kernel memory above the server without connections, divided by the "
        "connections. Page cache is never counted.",
    ),
    (
        "CPU/echo",
        "Run time of the server's tasks per echo. On loopback the kernel runs the receiver's "
        "side of TCP inside the sender's send(), so a part of each end is charged to the other.",
    ),
    (
        "conforms",
        "Conformance checks of the contract that the server passed before it was measured, of "
        "those that apply to it. One that fails a check is measured only when asked for, and is "
        "never ranked.",
    ),
    (
        "events per wake-up",
        "How many ready descriptors a waiting call of the server reports. Threads that block in "
        "recv have none.",
    ),
    ("block", "One trial of every server, in a random order; ratios are taken inside it."),
    (
        "wave",
        "Servers of a block that are up together, where the host does not hold all. One server is "
        "in every wave; ratios between servers of different waves go through it.",
    ),
)
