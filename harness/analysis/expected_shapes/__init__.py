"""Compare a campaign with published results. Pure.

Rule 1: a bound is quoted from its source, and never widened to pass.
Rule 2: a shape is judged by the interval of a ratio of geometric means over trials. If a server ran
twice in a block, both runs count.
Rule 3: a shape that a campaign did not measure is not applicable, with the reason. It never passes.

A failed shape is no result: it calls for a check of the harness or of a server.
"""

from harness.analysis.expected_shapes.published import SHAPES, check, conclusion
from harness.analysis.expected_shapes.view import Observed, Row, Shape

__all__ = ["SHAPES", "Observed", "Row", "Shape", "check", "conclusion"]
