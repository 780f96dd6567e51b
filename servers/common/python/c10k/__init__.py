"""What the Python servers share, as those in C++ share the rest of `servers/common`.

File by file it is the same design, so that a server here and its twin in C++ differ in the language
and in nothing else. Every server's directory has a link to this package beside its `server.py`.
"""
