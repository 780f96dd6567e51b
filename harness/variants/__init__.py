"""The directories under `servers/`: what `variant.toml` says, groups, sources, and new ones.

It builds and starts nothing.
"""
