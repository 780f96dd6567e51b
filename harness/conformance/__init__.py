"""Whether a server is right, before anybody asks whether it is fast.

`python -m harness.conformance` runs beside a server, in the same container image and the same
namespaces as `harness.load`, takes it through the checks and tells on stdout what it saw, one JSON
object per line. It imports nothing of the harness but a few modules of `harness.load`.

    data backpressure close fairness resources lifecycle    one file per group of checks
    check.py    what a check is              schedule.py   in which order they run and end
    scene.py    what a check is given        target.py     the server, seen from beside
    peers.py    clients that verify          results.py    results, also for the harness

Its task is in `C10K_CONFORMANCE` (`harness/contract/suite_spec.py`). What it wants of the harness,
in the order in which it may ask:

    {"event":"hello"}                     start the server (LISTEN and BACKLOG as in a trial)
    {"event":"ready"}                     nothing; it answered
    {"event":"start","name":n,"env":{},   start one more of the same beside it, with these variables
     "refuses":false}                     on top of the usual ones. refuses: wait for its end, at
                                          most `results.REFUSAL_S`, then kill it
    {"event":"restart","env":{}}          start the server again: the old one has been killed
    {"event":"check", …}                  show it
    {"event":"expect", …}                 nothing; `results.conclude` reads it
    {"event":"failure","code","text"}     the suite cannot go on: "not-ready" or "suite-error"
    {"event":"done", …}                   stop all servers as after a trial, then this process

There is no answer to any of them: this side sees a server by the address that it listens on.
"""
