from collections.abc import Sequence
from typing import Literal

from harness.engine.figures import EngineStatus, Window

WINDOW_PARTS: int  # into which a window is cut, see Window's `parts`

class Engine:
    def __init__(
        self,
        address: str,
        *,
        sources: Sequence[str] = (),
        cycle_sources: Sequence[str] = (),
        seed: int = 0,
        cpu: int = -1,
    ) -> None: ...
    def open(self) -> int: ...
    def close(self, connection: int) -> None: ...
    def ramp(self) -> None: ...
    def start(
        self,
        *,
        active: int,
        payload_bytes: int,
        depth: int = 1,
        rate_per_s: float = 0.0,
        seed: int = 0,
        window_start_ns: int,
        window_end_ns: int,
        spin: bool = False,
        stamps: bool = False,
        closing: Literal["fin", "rst"] | None = None,
    ) -> None: ...
    def stop(self) -> None: ...
    def status(self) -> EngineStatus: ...
    def live(self) -> dict[int, int]: ...
    def window(self) -> Window | None: ...
    def shutdown(self) -> None: ...

class NullServer:
    def __init__(
        self,
        *,
        corrupt_every_bytes: int = 0,
        drop_every_connections: int = 0,
        delay_every_replies: int = 0,
        delay_ns: int = 0,
        delays_ns: Sequence[int] = (),
        stop_at_ns: int = 0,
        stop_for_ns: int = 0,
        cpu: int = -1,
    ) -> None: ...
    @property
    def address(self) -> str: ...
    def counts(self) -> dict[str, int]: ...
    def shutdown(self) -> None: ...

def measure_overhead(cpu: int = -1) -> tuple[float, bytes]: ...
