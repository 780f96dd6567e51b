"""Judge whether this host is fit for N connections, and what would make it fit. Pure.

`harness/host/survey.py` reads the facts. Neither changes the host.
"""

from harness.doctor.answer import CHECKS, Answer, chosen, examine
from harness.host.facts import UNLIMITED, Ask, Check, Facts, Finding

__all__ = ["CHECKS", "UNLIMITED", "Answer", "Ask", "Check", "Facts", "Finding", "chosen", "examine"]
