"""The words that all floors share: errors and exit codes, addresses, events, requests, and records.

It imports nothing of the harness and starts nothing.
"""
