"""A campaign on disk: append-only files, read back with their shape checked.

It does not know what a figure means.
"""
