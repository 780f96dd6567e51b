"""Check that a server keeps the contract, before a campaign measures it.

`python -m harness.conformance` runs next to a server, in the same container image and the same
namespaces as `harness.load`. It runs the checks and prints what they saw on stdout, one JSON object
per line. It imports only `harness.contract` and `harness.host`.

    echo_data backpressure close fairness resources lifecycle    one file per group of checks
    definition.py  a check                  check_order.py    the order of checks, and their end
    scene.py       what a check gets        target.py         the server, seen from outside
    peers.py       clients that verify      suite_results.py  results, also for the harness

Its task is in `C10K_CONFORMANCE` (`harness/contract/suite_spec.py`). Each event asks the harness to
do something. The events, in the order in which they can occur:

    {"event":"hello"}                     start the server (LISTEN and BACKLOG as in a trial)
    {"event":"ready"}                     do nothing; the server answered
    {"event":"start","name":n,"env":{},   start one more server of the same kind, with these
     "refuses":false}                     variables on top of the usual ones. refuses: wait for its
                                          end, at most `suite_results.REFUSAL_S`, then kill it
    {"event":"restart","env":{}}          start the server again: the suite killed the old one
    {"event":"check", …}                  show the result
    {"event":"expect", …}                 do nothing; `suite_results.conclude` reads it
    {"event":"failure","code","text"}     the suite cannot continue: "not-ready" or "suite-error"
    {"event":"done", …}                   stop all servers as after a trial, then this process

The harness answers none of them. The suite finds a server by the address that it listens on.
"""
