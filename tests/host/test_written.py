"""What a process writes is bounded where we keep it, and counted; no writer waits for a reader."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from harness.backends.base import EVENT_BYTES_MAX, LOG_TAIL_LINES, EventStream
from harness.host.bounded_output import KEPT_BYTES, Written, WrittenPipe

MIB = 1 << 20
WRITES = "import os\nfor _ in range({times}): os.write(2, b'{letter}' * 65535 + b'\\n')"


def test_the_end_of_an_output_is_kept_and_all_of_it_is_counted() -> None:
    written = Written()
    for number in range(10_000):
        written.add(f"line {number} of ten thousand\n".encode())

    assert written.amount.lines == 10_000
    assert written.amount.size_bytes > 2 * KEPT_BYTES
    assert len(written.text) == KEPT_BYTES
    assert written.text.endswith("line 9999 of ten thousand\n")


def test_a_process_writes_as_much_as_it_likes_without_waiting_and_a_bound_is_kept() -> None:
    with closing(WrittenPipe()) as pipe:
        program = WRITES.format(times=64 * 16, letter="x")
        process = subprocess.Popen([sys.executable, "-c", program], stderr=pipe.writer)
        pipe.close_writer()

        assert process.wait(60) == 0

        assert pipe.amount.size_bytes == 64 * MIB
        assert pipe.amount.lines == 64 * 16
        assert len(pipe.text) == KEPT_BYTES


def test_what_was_written_before_is_there_at_once_though_a_child_keeps_the_pipe_open() -> None:
    with closing(WrittenPipe()) as pipe:
        command = ["sh", "-c", "echo told >&2; sleep 60 & exit 3"]
        process = subprocess.Popen(command, stderr=pipe.writer, start_new_session=True)
        pipe.close_writer()
        try:
            assert process.wait(60) == 3
            assert pipe.text == "told\n"
        finally:
            subprocess.run(["pkill", "--session", str(process.pid)], check=True)


def test_what_a_load_says_beside_its_events_is_bounded() -> None:
    stream = EventStream(iter([b"noise\n" * 100_000, b'{"event": "done"}\n']))

    assert stream.next(60) == {"event": "done"}
    assert len(stream.stray) == LOG_TAIL_LINES


def test_a_line_without_end_ends_the_stream() -> None:
    stream = EventStream(iter([b"x" * MIB] * (EVENT_BYTES_MAX // MIB + 2)))

    assert stream.next(60) is None
    assert "a line of more than" in stream.stray[0]


@pytest.mark.parametrize("times", [0, 3])
def test_a_pipe_that_is_closed_leaves_no_thread(times: int) -> None:
    pipe = WrittenPipe()
    program = WRITES.format(times=times, letter="y")
    subprocess.run([sys.executable, "-c", program], stderr=pipe.writer, check=True)
    pipe.close_writer()

    pipe.close()

    assert not pipe._thread.is_alive()
