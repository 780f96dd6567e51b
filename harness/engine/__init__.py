"""The load engine: connections, traffic and latency, measured in one native thread without the GIL.

```
engine = Engine("tcp://127.0.0.1:7000")
for _ in range(1000):
    engine.open()
while engine.status()["connecting"]:
    time.sleep(0.01)
start_ns = time.monotonic_ns() + 500_000_000
engine.start(active=100, payload_bytes=64, window_start_ns=start_ns, window_end_ns=start_ns + 10**9)
while (window := engine.window()) is None:
    time.sleep(0.01)
engine.stop()
engine.shutdown()
```
"""

from harness.engine._engine import WINDOW_PARTS, Engine, NullServer, measure_overhead
from harness.engine.figures import EngineStatus, Ramp, Window

__all__ = [
    "WINDOW_PARTS",
    "Engine",
    "EngineStatus",
    "NullServer",
    "Ramp",
    "Window",
    "measure_overhead",
]
