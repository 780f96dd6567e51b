"""Run trials in containers: the load owns the namespaces, and one fresh server joins them.

    load     network none, its sysctls, init as PID 1, the load's CPUs
    server   --network container:LOAD --pid container:LOAD, the server's CPUs and ulimits

Both are read-only and have one seccomp profile, so that its cost is the same for each server. They
run under different uids (harness/backends/confinement.py). Nothing of the host is mounted. A volume
in memory at /run/c10k, writable for both, holds the socket of a `unix://` listener. Everything has
our label, for clean-up.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import Ulimit

from harness.backends import container_ends, cpu_time, docker_engine, images
from harness.backends.base import (
    LABEL,
    LISTEN,
    NOTHING,
    Context,
    Event,
    EventStream,
    Prepared,
    ServerExit,
    command_of,
    reply_line,
    tail,
)
from harness.backends.confinement import (
    GROUP_ID,
    LOCK_LABEL,
    SERVER_UID,
    above_servers,
    confined,
    labels,
)
from harness.conformance.suite_results import MAIN
from harness.contract.errors import HostNotFit, Interrupted, ServerFault
from harness.contract.statuses import FailureCode
from harness.host import cgroups, lock
from harness.host.cpu_accounting import Charged
from harness.host.fair_wait import Wait
from harness.host.wait_budget import Reading
from harness.plan.limits import BACKLOG, SYSCTLS
from harness.variants.variant_files import Variant

RUN_DIRECTORY = "/run/c10k"
# Limit of threads and processes for a server that only prints its runtime.
VERSION_PIDS = 1_024


class DockerBackend:
    """Run servers and load in containers of the engine that the environment names."""

    name = "docker"
    isolated = True
    confines_cpus = True

    def __init__(self) -> None:
        self.client = docker_engine.connected()
        self._version = self.client.version()
        self._memory_max = self.client.info()["MemTotal"] // 2
        self._harness_image: str | None = None
        self._accountant = cpu_time.Accountant()

    def prepare_load(self, timeout_s: float) -> None:
        """Find the harness's own image, or build it from the clone."""
        self._harness_image = images.harness_image(self.client, timeout_s)

    def place(self, variant: Variant) -> str:
        """Context and first layers of its image: the first build makes them for all."""
        return images.shared_layers(variant)

    def prepare(self, variant: Variant, timeout_s: float) -> Prepared:
        """Build the server's image unless it exists."""
        image = images.build_variant(self.client, variant, timeout_s)
        alone = self.alone(variant.name)
        runtime = None
        if variant.file.runtime:
            runtime = images.runtime_of(self.client, variant, image, timeout_s, **alone)
        return Prepared(
            variant, image, image, runtime, images.build_of(self.client, image, **alone)
        )

    def alone(self, campaign: str) -> dict[str, Any]:
        """The options of a server outside a trial, confined as in a trial."""
        return {
            **confined(campaign),
            "network_mode": "none",
            "pids_limit": VERSION_PIDS,
            "mem_limit": self._memory_max,
            "memswap_limit": self._memory_max,
        }

    @contextmanager
    def open(self, context: Context) -> Iterator[DockerTrial]:
        """Start the load container; remove it, the server and the volume on leaving."""
        assert self._harness_image is not None  # noqa: S101 (prepare_load() made sure)
        trial = DockerTrial(
            self.client, self._harness_image, context, self._memory_max, self._accountant
        )
        try:
            trial.start_load()
            yield trial
        finally:
            trial.close()

    def sweep(self) -> list[str]:
        """Remove containers and volumes with our label and the lock that we hold."""
        swept = []
        ours: dict[str, Any] = {"label": [LABEL, f"{LOCK_LABEL}={lock.default_path()}"]}
        found = self.client.containers.list(all=True, filters=ours, ignore_removed=True)
        for left in [*found, *container_ends.launched(self.client)]:
            container_ends.remove(left)
            swept.append(f"container {left.name}")
        for volume in self.client.volumes.list(filters=ours):
            with contextlib.suppress(docker.errors.NotFound):
                volume.remove(force=True)
                swept.append(f"volume {volume.name}")
        return swept

    def environment(self) -> dict[str, object]:
        """The engine's version, drivers and the base image."""
        info = self.client.info()
        return {
            "engine": self._version.get("Version"),
            "api": self._version.get("ApiVersion"),
            "storage_driver": info.get("Driver"),
            "cgroup_driver": info.get("CgroupDriver"),
            "cgroup_version": info.get("CgroupVersion", "1"),
            "security": info.get("SecurityOptions"),
            "base": images.base_image(),
            "harness_image": self._harness_image,
            "guards_load": True,
        }


class DockerTrial:
    """One load container and the server containers that join it."""

    def __init__(
        self,
        client: docker.DockerClient,
        image: str,
        context: Context,
        memory_max: int,
        accountant: cpu_time.Accountant,
    ) -> None:
        self._client = client
        self._accountant = accountant
        self._image = image
        self._context = context
        self._memory_max = memory_max
        self._name = f"c10k-{context.campaign}-{context.name}"
        self._labels = {**labels(context.campaign), "c10k.trial": context.name}
        self._load: Container | None = None
        self._servers: dict[str, Container] = {}
        self._events: EventStream | None = None
        # A socket; its type depends on the connection to the engine
        self._load_stdin: Any = None
        self._exits: dict[str, ServerExit] = {}
        self.clamps: list[str] = []

    def start_load(self) -> None:
        """Start the load container and follow its standard output."""
        self._client.volumes.create(
            self._name,
            driver="local",
            driver_opts={
                "type": "tmpfs",
                "device": "tmpfs",
                "o": f"size=1m,mode=0770,uid={SERVER_UID},gid={GROUP_ID}",
            },
            labels=self._labels,
        )
        told = self._context.variables(
            sysctls=SYSCTLS,
            prepare_namespace=False,
            directory=RUN_DIRECTORY,
            tree="namespace",
        )
        self._load = self._start(
            image=self._image,
            name=f"{self._name}-load",
            entrypoint=command_of("python", self._context.module),
            command=[],
            environment=told,
            network_mode="none",
            init=True,
            stdin_open=True,
            sysctls=dict(SYSCTLS),
            cpuset_cpus=",".join(map(str, self._context.cpus.load)),
            tmpfs={"/tmp": "size=64m"},  # noqa: S108 (inside the container)
            **above_servers(self._context.module),
        )
        output = self._load.attach(stdout=True, stderr=False, stream=True, logs=True)
        self._events = EventStream(docker_engine.streamed(output))

    def next_event(self, timeout_s: float) -> Event | None:
        """Wait for the load's next event."""
        assert self._events is not None  # noqa: S101 (start_load() ran)
        assert self._load is not None  # noqa: S101
        event = self._events.next(timeout_s)
        if event is None:
            self._require_not_killed(self._load)
        return event

    def reply(self, **members: Any) -> None:
        """Answer a load that sent a request and waits."""
        assert self._load is not None  # noqa: S101 (start_load() ran)
        # If the load has died, the end of its events reports it
        with contextlib.suppress(OSError, docker.errors.DockerException):
            if self._load_stdin is None:
                self._load_stdin = self._load.attach_socket(params={"stdin": 1, "stream": 1})
            # Except with TLS, attach_socket() returns a reader; the socket below it also writes
            getattr(self._load_stdin, "_sock", self._load_stdin).sendall(reply_line(members))

    def charged(self) -> Charged:
        """CPU time that the kernel charged to the server's container."""
        server = self._servers.get(MAIN)
        group = self._accountant.of_container(str(server.id)) if server else None
        return self._accountant.settled(group, self._context.cpus.server)

    def spent(self) -> Reading:
        """CPU time of the servers' containers and of their CPUs so far."""
        servers = self._servers.values()
        groups = [self._accountant.of_container(str(server.id)) for server in servers]
        known = [ns for group in groups if (ns := cpu_time.group_ns(group)) is not None]
        return cpu_time.reading(sum(known) if known else None, self._context.cpus.server)

    def start_server(self, name: str = MAIN, variables: Mapping[str, str] = NOTHING) -> None:
        """Start a server container in the load's network and PID namespaces."""
        assert self._load is not None  # noqa: S101 (start_load() ran)
        self._exits.pop(name, None)
        if name in self._servers:
            container_ends.remove(self._servers.pop(name))
        try:
            self._servers[name] = self._start(
                image=self._context.prepared.what,
                name=f"{self._name}-server{'' if name == MAIN else f'-{name}'}",
                environment={"LISTEN": LISTEN, "BACKLOG": str(BACKLOG), **variables},
                network_mode=f"container:{self._load.id}",
                pid_mode=f"container:{self._load.id}",
                cpuset_cpus=",".join(map(str, self._context.cpus.server)),
                mem_limit=self._memory_max,
                memswap_limit=self._memory_max,
            )
        except HostNotFit as error:
            self._require_not_killed(self._load, within_s=0)  # no server can join an ended load
            variant = self._context.prepared.variant.name
            raise ServerFault(
                f"{variant}: the engine cannot start its container: {error.message}",
                code=FailureCode.NOT_STARTED,
            ) from None

    def await_server(self, name: str, within_s: float) -> ServerExit:
        """Wait for a server to end by itself, and kill it after `within_s`."""
        return self._end(name, within_s, asks=False)

    def ended(self) -> ServerExit | None:
        """How the server ended by itself; None while it runs."""
        server = self._servers[MAIN]
        try:
            server.reload()
        except docker.errors.NotFound:  # it was removed from outside
            return self._end(MAIN, 0)
        except (OSError, docker.errors.DockerException):
            return None  # the engine failed to answer; the next call asks again
        return self._end(MAIN, 0) if server.status in container_ends.ENDED else None

    def stop_server(self, name: str = MAIN) -> ServerExit:
        """Send SIGTERM, then SIGKILL after the profile's `stop_s`."""
        return self._end(name, self._context.timeouts.stop_s)

    def server_log(self) -> str:
        """What the server has written to stderr so far."""
        return container_ends.last_lines(self._servers[MAIN])

    def memory(self) -> Event | None:
        """Kernel memory charged to the server's cgroup."""
        if MAIN not in self._servers:
            return None
        found = cgroups.kernel_memory(str(self._servers[MAIN].id))
        return asdict(found) if found else None

    def throttled(self) -> int | None:
        """Count by the server's cgroup and those above it."""
        server = self._servers.get(MAIN)
        return cgroups.throttled(str(server.id)) if server else None

    def load_log(self) -> str:
        """The load's stderr, and its lines of stdout that are no events."""
        stray = self._events.stray if self._events else []
        return tail("\n".join([*stray, container_ends.last_lines(self._load)]))

    def close(self) -> None:
        """Remove the server, the load and the volume."""
        for one in (*self._servers.values(), self._load):
            if one is not None:
                container_ends.remove(one)
        with contextlib.suppress(docker.errors.APIError):
            self._client.volumes.get(self._name).remove(force=True)
        if self._load_stdin is not None:
            with contextlib.suppress(OSError):
                docker_engine.end(self._load_stdin)
                self._load_stdin.close()

    @staticmethod
    def _require_not_killed(load: Container, within_s: float = container_ends.END_S) -> None:
        """Raise Interrupted if something other than the harness ended the load by then."""
        if how := container_ends.killed(load, container_ends.SIGNALLED, within_s):
            raise Interrupted(f"the load's container {load.name} was ended: {how}")

    def _end(self, name: str, timeout_s: float, *, asks: bool = True) -> ServerExit:
        if name not in self._exits:
            server, found = self._servers.get(name), ServerExit(None, "")
            if server is not None:
                found = container_ends.stop(server, Wait(timeout_s, self.spent), asks=asks)
            self._exits[name] = found
        return self._exits[name]

    def _start(self, **options: Any) -> Container:
        """Create and start it. Drop a limit that the engine refuses, and record it as a clamp."""
        asked = self._context.asked
        options = {
            **confined(self._context.campaign),
            **options,
            "pids_limit": asked.pids,
            "ulimits": [Ulimit(name="nofile", soft=asked.nofile, hard=asked.nofile)],
            "labels": self._labels,
            "volumes": {self._name: {"bind": RUN_DIRECTORY, "mode": "rw"}},
        }
        for _ in range(2 + len(SYSCTLS)):
            try:
                started: Container = self._client.containers.run(**options)
                return started
            except docker.errors.APIError as error:
                explanation = str(error.explanation)
                self._remove_failed(options["name"])
                if not self._give_up(explanation, options):
                    raise HostNotFit(
                        f"the engine refuses `{options['name']}`: {explanation}"
                    ) from None
        raise HostNotFit(f"the engine refuses `{options['name']}` even with the fewest limits")

    def _give_up(self, explanation: str, options: dict[str, Any]) -> bool:
        """Drop the limit that the engine complains about; False if it is none of ours."""
        if "rlimit" in explanation and options["ulimits"]:
            options["ulimits"] = []  # the engine's default applies; the load reads it back
            self.clamps.append(
                f"nofile: asked for {self._context.asked.nofile:,}, refused by the engine"
            )
            return True
        for name in options.get("sysctls", {}):
            if name in explanation or name.replace(".", "/") in explanation:
                del options["sysctls"][name]
                self.clamps.append(f"{name}: asked for {SYSCTLS[name]}, refused by the engine")
                return True
        return False

    def _remove_failed(self, name: str) -> None:
        """Remove what was created and did not start, unless another campaign owns the name."""
        with contextlib.suppress(docker.errors.NotFound):
            left = self._client.containers.get(name)
            if self._labels.items() <= left.labels.items():
                left.remove(force=True)
