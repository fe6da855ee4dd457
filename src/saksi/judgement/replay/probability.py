"""How likely a replay of a part meets what was done in the whole. Exact, by the hypergeometric distribution.

Source: `research/replay.md` of the design, section 4.1; Feller, An Introduction to Probability Theory, vol. 1, II.6.
"""

from __future__ import annotations

from math import exp, lgamma
from typing import Final

__all__ = ["SPREADS", "meets", "spread"]

SPREADS: Final = (0.1, 0.01, 0.001)
"""Shares of all Steps that are asked for."""


def meets(total: int, touched: int, drawn: int) -> float:
    """The probability that of `drawn` out of `total`, drawn without return, one at least is among `touched`.

    Raises `ValueError` for numbers that do not fit.
    """
    if not 0 <= touched <= total or not 0 <= drawn <= total:
        raise ValueError("more are touched or drawn than there are")
    if touched == 0 or drawn == 0:
        return 0.0
    if touched + drawn > total:
        return 1.0
    clean = total - touched
    missed = lgamma(clean + 1) - lgamma(clean - drawn + 1) - lgamma(total + 1) + lgamma(total - drawn + 1)
    return min(1.0, max(0.0, 1.0 - exp(missed)))


def spread(total: int, drawn: int) -> dict[str, float]:
    """For each of `SPREADS` the probability to meet it: at least one of `total` Steps is touched."""
    if total == 0:
        return {str(share): 0.0 for share in SPREADS}
    return {str(share): meets(total, max(1, round(share * total)), drawn) for share in SPREADS}
