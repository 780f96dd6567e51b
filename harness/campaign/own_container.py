"""Run a campaign in a container outside Compose's project, and follow it.

Compose replaces the container of a service before any code of ours runs, and all clones share one
project. A campaign in that container would end with the next `docker compose up` of this host. So
the service's container only launches the campaign's, with its own settings, and follows it:

    stopped by Compose     it passes the signal on, and ends with the campaign's exit code
    replaced by Compose    it leaves the campaign alone, and says how to follow it
    killed                 the campaign goes on

The container that replaces it launches a campaign, too. The host's lock refuses that one
(harness/host/lock.py).
"""

from __future__ import annotations

import contextlib
import os
import queue
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container

from harness.backends import container_ends, docker_engine
from harness.backends.confinement import LAUNCHED, NOT_COMPOSE, PROJECT, SERVICE
from harness.contract.errors import HostNotFit, Interrupted
from harness.store import campaign_store

ONE_OFF = "com.docker.compose.oneoff"
# `env_file` of the service. Compose replaces a container only if its configuration changed: each
# launch changes this file, so the next `docker compose up` does not join the terminal of this one.
LAUNCH_FILE = ".launch.env"
LAUNCH_VARIABLE = "C10K_LAUNCH"
TOKEN_BYTES = 8
ID_LETTERS = 12
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def launch(client: docker.DockerClient, arguments: Sequence[str], reports: Path) -> int:
    """Run `c10k ARGUMENTS` in a container of its own; its exit code.

    In the container of `docker compose run`, which Compose never replaces, the command replaces
    this process.

    Raises:
        HostNotFit: this is no container of Compose, or the engine refuses the campaign's.
        Interrupted: Compose replaced this container, and the campaign goes on; or something else
            removed the campaign's container.
    """
    own = _own(client)
    if own.labels[ONE_OFF] == "True":
        os.execvp("c10k", ["c10k", *arguments])  # noqa: S606 (this very program)
    _change_configuration(reports)
    orders: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    with _heard(orders):
        campaign = _created(client, own, arguments)
        output = client.api.attach(str(campaign.id), stream=True, logs=True, demux=True)
        threading.Thread(target=_show, args=(output, orders), daemon=True).start()
        campaign.start()
        ending = Ending(campaign)
        while (number := orders.get()) is not None:
            if _is_replaced(client, own):
                raise _left(campaign)
            with contextlib.suppress(docker.errors.APIError):  # it has ended
                campaign.kill(signal.Signals(number).name)
        code = ending.code()
        container_ends.remove(campaign)
    return code


class Ending:
    """Waits for a container's end from now on: what removes it then takes no exit code away."""

    def __init__(self, campaign: Container) -> None:
        self._campaign = campaign
        self._found: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        threading.Thread(target=self._wait, daemon=True).start()

    def code(self) -> int:
        """The exit code, once the container has ended.

        Raises:
            Interrupted: it was removed before the engine was asked.
            EngineGone: the engine stopped.
        """
        found = self._found.get()
        if isinstance(found, docker.errors.NotFound):
            raise Interrupted(
                f"the campaign's container {self._campaign.name} was removed from outside",
                hint="Its reports are kept: c10k run --resume CAMPAIGN goes on.",
            )
        if isinstance(found, Exception):
            raise found
        return found

    def _wait(self) -> None:
        try:
            self._found.put(int(self._campaign.wait()["StatusCode"]))
        except Exception as error:  # is raised where the code is asked for
            self._found.put(error)


def configuration(own: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """The campaign's container, as the engine takes it, from what it says of the launching one."""
    host = {**own["HostConfig"], "AutoRemove": False, "RestartPolicy": {"Name": "no"}}
    return {
        **own["Config"],
        "Image": own["Image"],
        "Cmd": list(arguments),
        "Hostname": "",  # the engine names it after its id
        "Labels": {**NOT_COMPOSE, LAUNCHED: own["Id"]},
        "HostConfig": host,
    }


def _own(client: docker.DockerClient) -> Container:
    """The container that this process is in."""
    with contextlib.suppress(docker.errors.NotFound):
        own: Container = client.containers.get(socket.gethostname())
        if {PROJECT, SERVICE, ONE_OFF} <= own.labels.keys():
            return own
    raise HostNotFit(
        "`c10k launch` is for the container that `docker compose up` starts",
        hint="Elsewhere type the command itself: c10k run",
    )


def _change_configuration(reports: Path) -> None:
    # Where nothing can be written, the campaign says so
    with contextlib.suppress(OSError):
        token = secrets.token_hex(TOKEN_BYTES)
        campaign_store.replace(reports / LAUNCH_FILE, f"{LAUNCH_VARIABLE}={token}\n")


def _created(client: docker.DockerClient, own: Container, arguments: Sequence[str]) -> Container:
    name = f"c10k-harness-{str(own.id)[:ID_LETTERS]}"
    try:
        made = client.api.create_container_from_config(  # type: ignore[no-untyped-call]
            configuration(own.attrs, arguments), name
        )
    except docker.errors.APIError as error:
        raise HostNotFit(f"the engine refuses `{name}`: {error.explanation}") from None
    created: Container = client.containers.get(made["Id"])
    return created


@contextlib.contextmanager
def _heard(orders: queue.SimpleQueue[int | None]) -> Iterator[None]:
    """Put signals into the queue while the block runs."""
    before = {number: signal.signal(number, lambda it, _: orders.put(it)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show(
    output: Iterator[tuple[bytes | None, bytes | None]], orders: queue.SimpleQueue[int | None]
) -> None:
    """Copy the campaign's output to ours; its end is the last order."""
    try:
        for out, err in docker_engine.streamed(output):
            for data, stream in ((out, sys.stdout.buffer), (err, sys.stderr.buffer)):
                if data:
                    with contextlib.suppress(OSError):  # the terminal is gone; the campaign is not
                        stream.write(data)
                        stream.flush()
    finally:
        orders.put(None)


def _is_replaced(client: docker.DockerClient, own: Container) -> bool:
    """Whether Compose has made another container for our service: it stops ours only then."""
    same = [f"{label}={own.labels[label]}" for label in (PROJECT, SERVICE, ONE_OFF)]
    found = client.api.containers(all=True, filters={"label": same})
    return any(one["Id"] != own.id for one in found)


def _left(campaign: Container) -> Interrupted:
    return Interrupted(
        "another `docker compose up` took the place of this one; the campaign goes on",
        hint=f"Follow it: docker logs --follow {campaign.name}\n"
        f"       Stop it: docker stop --time 60 {campaign.name}",
    )
