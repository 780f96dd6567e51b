"""The command line: options, help texts and exit codes.

The logic is on the floors below.
"""
