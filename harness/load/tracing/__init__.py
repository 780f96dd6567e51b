"""Counts of the server's system calls by perf or strace, for the x-ray.

Nothing here runs in a timed window.
"""
