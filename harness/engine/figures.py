"""What the engine reports, as typed dictionaries. Times are nanoseconds of CLOCK_MONOTONIC."""

from typing import TypedDict

# The uncompressed payload of the standard HdrHistogram V2 encoding, in microseconds from 1 to
# 60,000,000 with 3 digits; `harness.engine.histogram` reads, merges and packs it.
HistogramPayload = bytes


class Ramp(TypedDict):
    """Figures of the connections since the last `ramp()`."""

    first_connect_ns: int  # 0: nothing was opened yet
    last_established_ns: int  # 0: nothing is established yet
    connect_histogram: HistogramPayload  # connect() to writable
    hello_histogram: HistogramPayload  # hello sent to its verified echo
    timeline: list[list[float]]  # [ms since the first connect, established], at most 200 points


class EngineStatus(TypedDict):
    """Counters of the engine's whole life, except `cell_echoes` and `ramp`."""

    requested: int
    connecting: int  # requested, and not yet established, failed or closed
    established: int  # now
    lost: int  # were established, and ended by the server or an error
    closed: int  # ended by close()
    failed: int  # ended by the server or an error before they were established
    errors: dict[str, int]  # "connect ECONNREFUSED", "hello eof", "read ECONNRESET", "corrupt"
    corrupt_bytes: int  # wrong or surplus bytes
    cycles: int  # churn: connections made by it
    cycles_failed: int  # churn: cycles without a verified echo
    outstanding: int  # messages of the cell that are issued and not answered
    echoes: int  # complete verified replies, hellos included
    bytes_sent: int  # hellos included
    bytes_received: int  # hellos included
    running: bool  # between start() and stop()
    window_closed: bool  # window() has the figures
    cell_echoes: int  # replies since start(), warm-up included
    ramp: Ramp


class Window(TypedDict):
    """Figures of the time from `start_ns` up to, not including, `end_ns`, without hellos."""

    start_ns: int  # the engine's first clock reading at or after the requested edge
    end_ns: int
    echoes: int  # replies completed
    parts: list[list[int]]  # [length_ns, echoes] of its tenths, in order; none without time
    bytes: int  # verified bytes of replies
    established_min: int
    lost: int
    errors: dict[str, int]
    corrupt_bytes: int
    histogram: HistogramPayload  # latency; open loop: from the intended send; churn: from connect
    latency_sum_ns: int  # exact, as is the maximum
    latency_max_ns: int
    count: int
    cpu_ns: int  # of the engine's thread
    blocked_ns: int  # inside epoll_wait
    spun_ns: int  # passes of a spinning loop that found nothing to do; CPU time that was not needed
    loops: int
    sends: int  # send calls
    missed_sends: int  # due in the window and not sent when it ended
    # Closed loop: reply read to next send. Open loop: intended to actual send.
    send_lag_histogram: HistogramPayload
    # Reply in our socket to reply read, by the kernel's stamp; None without stamps.
    self_delay_histogram: HistogramPayload | None
    connect_histogram: HistogramPayload | None  # churn: connect() to connected; else None
    cycles_failed: int
    clock_step_ns: int  # CLOCK_REALTIME against MONOTONIC; a step makes the self-delay void
    outstanding_time_ns: int  # integral of outstanding messages over time
