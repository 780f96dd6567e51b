"""What runs beside the server: one trial's conductor, its Locust shell and its probe.

`python -m harness.load` takes one trial from the environment and tells on stdout what it sees,
one JSON object per line. It runs in a container of its own, so it imports the engine and nothing
else of the harness.

Locust patches the standard library for gevent when it is imported, unless told otherwise, and here
it is told otherwise, before anything can import it. Locust itself calls gevent and zmq.green by
name, the readiness probe uses `gevent.socket` by name, and the traffic never passes through Python.
What the patch would add is only harm: /proc reads, signals and subprocesses through the hub.
"""

import os

os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")
