"""Facts about this machine: CPUs, /proc, control groups, sockets, namespaces, the lock, signals.

It knows nothing of servers, profiles and campaigns.
"""
