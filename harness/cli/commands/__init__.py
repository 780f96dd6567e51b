"""The commands, one module each: options, help, and which part of the harness does the work.

A module imports what its command needs inside the command, so that `c10k --help` stays quick.
"""
