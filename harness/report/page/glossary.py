"""Define the terms of the report and of docs/glossary.md, each once."""

from __future__ import annotations

GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "server",
        "One program to compare: one directory under servers/. The data calls it a variant.",
    ),
    (
        "profile",
        "A TOML file that says what a campaign measures, how often and for how long: smoke, "
        "quick, standard, full or one of your own.",
    ),
    (
        "scenario",
        "One kind of load. ramp: the load opens N connections. idle: a few of the N send. active:"
        " all of them send. paced: messages leave at a fixed rate. churn: each message has a new "
        "connection. payload and depth: message size and depth vary.",
    ),
    ("campaign", "One run of the comparison: all its trials, their data and the report."),
    (
        "block",
        "One trial of every server, in a random order. Ratios of servers are formed inside a "
        "block.",
    ),
    (
        "trial",
        "One fresh server process, measured once in every cell of its plan. It is the unit of "
        "repetition.",
    ),
    (
        "cell",
        "One measured point: server, scenario, open connections, active connections, message "
        "size, depth and rate.",
    ),
    (
        "window",
        "The time in which a cell is measured, after its warm-up. Echoes that complete inside it "
        "count.",
    ),
    (
        "turn",
        "One part of a window. Servers that run side by side take turns, so only one of them is "
        "under load at a time.",
    ),
    (
        "side by side",
        "All servers of a block or wave are up at the same time, each with its own load and open "
        "connections.",
    ),
    (
        "interleaved",
        "Servers are measured in short alternating turns, so a change of the host's speed affects"
        " all of them alike.",
    ),
    (
        "wave",
        "Servers of a block that are up at the same time. A block has several waves if the host "
        "cannot hold all of its servers at once.",
    ),
    (
        "anchor",
        "The one server that runs in every wave. The ratio of two servers of different waves goes"
        " through it.",
    ),
    (
        "load, generator",
        "The process that opens the connections and sends the messages. Its native code, the load"
        " engine, verifies every byte of every reply.",
    ),
    ("depth", "Number of messages that one active connection keeps in flight."),
    (
        "in flight",
        "Sent, and not answered yet. A closed loop keeps active connections × depth messages in "
        "flight.",
    ),
    (
        "closed loop",
        "Each active connection sends, waits for the reply, and sends again. A slow server gets "
        "fewer messages. Latency is mostly queueing caused by the load itself.",
    ),
    (
        "open loop (paced)",
        "Messages leave at fixed times, whether replies came or not. Latency counts from the "
        "intended send time.",
    ),
    (
        "coordinated omission",
        "The error of a load that stops sending while the server stalls: it records one slow "
        "message in place of many.",
    ),
    ("backlog", "The kernel's queue of connections that the server has not accepted yet."),
    (
        "capacity",
        "The rate at which the server's CPUs are at least 95 % busy. Where the load cannot reach "
        "it, the harness extrapolates it from the busy share.",
    ),
    ("contract", "What every server must do: docs/add-a-server.md lists it."),
    (
        "conformance check",
        "A test of one part of the contract. The harness checks a server before it measures it.",
    ),
    (
        "conforms",
        "Number of conformance checks that the server passed, of those that apply to it. A server"
        " that fails a check is measured only on request, and never ranked.",
    ),
    ("self-test", "A check of the load engine against a server whose faults are known exactly."),
    ("unproven", "No self-test passed next to the block of the cell. The cell is in no figure."),
    (
        "x-ray",
        "One more trial of a server, in which a tool counts its system calls. It is never timed.",
    ),
    (
        "gate",
        "An automatic check that makes a cell valid, noisy, rejected or capped, with the reason.",
    ),
    (
        "valid, noisy, rejected, capped",
        "valid: all gates passed. noisy: the figure counts, but the host disturbed it. rejected "
        "(void in the data): the cell is in no figure. capped: the server stops below the "
        "connections asked for, as its variant.toml declares; that is a result.",
    ),
    (
        "echoes per second of server CPU",
        "Echoes of a cell's turns, divided by the CPU time that the kernel charged to the server "
        "for them. Processes that ended are included. The speed of the load does not change it, "
        "so it ranks.",
    ),
    (
        "headline",
        "The one figure that ranks: echoes per second of server CPU in the cell idle, with 10,000"
        " connections open and 100 of them active.",
    ),
    (
        "echoes/s",
        "Verified echoes per second of the window. “≥” marks a lower bound: the server's CPUs "
        "were less than 95 % busy.",
    ),
    (
        "CPU/echo",
        "CPU time of the server per echo. On loopback the kernel runs the receiver's side of TCP "
        "inside the sender's send(), so each end pays for a part of the other.",
    ),
    (
        "p99",
        "99 of 100 echoes took at most this long. It comes from one histogram, merged over trials.",
    ),
    (
        "held",
        "Connections that the kernel counts as ESTABLISHED on the server's port, the lowest count"
        " seen.",
    ),
    (
        "KiB/conn",
        "User and kernel memory per open connection, beyond that of the server without "
        "connections. Page cache is never counted.",
    ),
    (
        "events per wake-up",
        "Number of ready descriptors that one wait call of the server reports. Threads that block"
        " in recv have none.",
    ),
    (
        "±",
        "Half of the 95 % t interval of the mean over trials, on the log scale. Fewer than three "
        "trials give no interval.",
    ),
    (
        "slower by",
        "Rate of the best server divided by this server's, paired inside blocks and averaged on "
        "the log scale. Its interval is a repeated one: with 95 % probability all such intervals "
        "of a cell, at all looks, contain their true ratios.",
    ),
    (
        "look",
        "A point at which the harness makes verdicts: after the planned blocks, then after every "
        "4 more. No verdict changes between two looks.",
    ),
    (
        "different, equivalent, not settled",
        "different: the interval excludes 1, and the effect is at least 5 %. equivalent: the "
        "interval lies inside 1 ± 5 %. not settled, or too close to call (inconclusive in the "
        "data): neither; more blocks can decide.",
    ),
    (
        "rank",
        "All pairs of servers are compared. 2: the only possible place. 1=: several servers share"
        " it, and every pair of them is equivalent. 1–3: any of these places is possible.",
    ),
    (
        "noise floor",
        "The measured ratio of a server to itself, from two trials of it in each block. A smaller"
        " difference between two servers means nothing.",
    ),
)
