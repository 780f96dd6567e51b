"""What the generator measures of a server whose every fault is known: it is run before a campaign.

`python -m harness.load.selftest` runs the engine against the engine's own null server, where a
trial's load runs, and tells on stdout what it saw, one JSON object per line. It judges nothing.
"""
