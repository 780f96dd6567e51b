"""The commands, one module each: options, help, and the call of the part that does the work.

A command imports what it needs inside its function, so `c10k --help` stays quick.
"""
