"""Our step hooks were taken out of torch's tables: said once, and put back.

A program that clears these tables to be rid of hooks of its own takes ours with them, and then no Update is seen any
more. Looked at as a backward pass begins, which does not go by these tables: what is updated in between was not seen.
"""

from __future__ import annotations

import sys

from . import dynamo, session, steps
from .guard import guarded

REASON = "they were taken out of torch's tables, and put back as the next backward pass began"


@guarded("taken_out")
def look() -> None:
    """Put back what is missing."""
    if steps.put_back():
        if "torch._dynamo" in sys.modules:
            dynamo.hide()
        session.uncovered(session.OF_HOOKS, REASON)
