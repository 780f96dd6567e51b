"""Readings of the server's processes, memory and CPUs at the edges of a window.

It sends no traffic.
"""
