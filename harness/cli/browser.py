"""Show a page in the browser of the person at the terminal."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from harness.contract.errors import HostNotFit


def show(page: Path) -> None:
    """Open a file in the browser that `BROWSER` or the desktop names.

    Raises:
        HostNotFit: there is none, as on a server or in a container.
    """
    if not webbrowser.open(page.resolve().as_uri()):
        raise HostNotFit(
            "no browser can be started here",
            hint=f"Copy {page} to a host with a browser, or set BROWSER to a command.",
        )
