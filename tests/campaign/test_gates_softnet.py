"""The gate of the kernel's receive backlog, overrun in the namespace of a trial."""

from __future__ import annotations

import os

from command import C10k
from faulty_servers import echo
from one_cell import lacking, measured, run, tripped

from harness.host import isolation

# What is sent on loopback is received on the CPU that sent it, before the next one: no queue grows.
# Here another CPU has to receive it (receive packet steering), and 150 sockets hear each broadcast:
# that takes several times as long as to send it.
OVERRUNS = echo(
    on_data="if served == 60: threading.Thread(target=overrun, daemon=True).start()"
).replace(
    "selector = selectors",
    """
import subprocess, threading, time
others = set(range(os.cpu_count())) - os.sched_getaffinity(0)
steer = f"echo {1 << min(others):x} > /sys/class/net/lo/queues/rx-0/rps_cpus"
mounted = ["unshare", "--mount", "sh", "-c", f"mount -t sysfs sysfs /sys && {steer}"]
subprocess.run(mounted, check=True)
def udp(option):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, option, 1)
    return made
ears = [udp(socket.SO_REUSEADDR) for _ in range(150)]
for ear in ears:
    ear.bind(("", 7009))
def dropped():
    return sum(int(line.split()[1], 16) for line in open("/proc/net/softnet_stat"))
def overrun():
    mouth = udp(socket.SO_BROADCAST)
    for _ in range(3):
        time.sleep(0.4)
        before, give_up = dropped(), time.monotonic() + 0.5
        while dropped() == before and time.monotonic() < give_up:
            for _ in range(500):
                mouth.sendto(b"x", ("127.255.255.255", 7009))
selector = selectors""",
    1,
)


def test_a_receive_backlog_that_is_overrun_drops_packets_of_others_too(c10k: C10k) -> None:
    if os.geteuid() != 0 or isolation.found().namespaces is None:
        lacking("there is no namespace here whose packets this user may steer")
    if len(os.sched_getaffinity(0)) < 2:
        lacking("there is no second CPU here to steer packets to")

    done = run(c10k, OVERRUNS, window_s=1.5, settle_s=5.0)

    assert "receive backlog dropped" in tripped(measured(done), "softnet")
    assert measured(done)["status"] != "valid"
