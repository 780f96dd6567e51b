"""Store a campaign on disk: append-only files, checked for their shape when read.

It does not know the meaning of a figure.
"""
