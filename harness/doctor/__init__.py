"""Is this host fit for N connections, and if not, what is to be done? Pure: facts in, answer out.

`harness/host/survey.py` reads the facts. Nothing here, and nothing there, changes the host.
"""

from harness.doctor.answer import CHECKS, Answer, chosen, examine
from harness.host.facts import UNLIMITED, Ask, Check, Facts, Finding

__all__ = ["CHECKS", "UNLIMITED", "Answer", "Ask", "Check", "Facts", "Finding", "chosen", "examine"]
