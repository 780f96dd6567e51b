"""Read the directories under `servers/`: `variant.toml`, groups, sources; make new ones.

It builds and starts nothing.
"""
