"""Published results that a campaign must repeat, or explain why it does not. Pure.

Rule 1: a bound is quoted from its source, and never widened to pass.
Rule 2: a shape is judged on the geometric mean over trials, both of a server that ran twice in a
block; the interval stands beside it.
Rule 3: what a campaign did not measure is not applicable, with the reason; it never passes.

A failed shape is a question about the harness or about a server, not a result.
"""

from harness.analysis.expected_shapes.published import SHAPES, check, conclusion
from harness.analysis.expected_shapes.view import Observed, Row, Shape

__all__ = ["SHAPES", "Observed", "Row", "Shape", "check", "conclusion"]
