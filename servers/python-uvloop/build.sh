#!/bin/sh
# Makes ../build/python-uvloop, a virtual environment in which uvloop can be imported: the system's,
# where it is installed (Debian: python3-uvloop), else PyPI's.
set -eu
environment=../build/python-uvloop
if ! "$environment/bin/python" -c 'import uvloop' 2>/dev/null; then
    python3 -m venv --clear --system-site-packages "$environment"
    "$environment/bin/python" -m pip install --quiet --no-user \
        --disable-pip-version-check 'uvloop>=0.17,<1'
fi
