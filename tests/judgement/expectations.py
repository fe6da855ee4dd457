"""Expectations made by hypothesis, and a plain one."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from saksi.judgement.expect.values import Expectation
from saksi.words.findings import CODES

PRUNED = "state.changed_between_steps"

texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
steps = st.integers(0, 2**53)


def apart(bounds):
    """Spans in order and apart, of numbers that are."""
    found = sorted(bounds)
    pairs = list(zip(found[::2], found[1::2], strict=False))
    spans: list[tuple[int, int]] = []
    for first, last in pairs:
        if not spans or first > spans[-1][1] + 1:
            spans.append((first, last))
    return tuple(spans)


spans = st.sets(st.integers(0, 200) | steps, max_size=8).map(apart)


def _made(period, **fields):
    every, offset = (None, 0) if period is None else period
    return Expectation(every=every, offset=offset, **fields)


expectations = st.builds(
    _made,
    period=st.none() | st.tuples(st.integers(1, 2**53), steps),
    code=st.sampled_from(CODES),
    subject=st.none() | texts,
    steps=spans,
    rank=st.none() | st.integers(0, 2**53),
    why=texts.filter(str.strip),
)


def in_form(found):
    """What a seal holds of these: sorted, none twice."""
    return tuple(sorted(set(found), key=msgspec.json.encode))


declared = st.lists(expectations, min_size=1, max_size=3).map(in_form)


def expectation(**changed: Any) -> Expectation:
    fields: dict[str, Any] = {
        "code": PRUNED,
        "subject": None,
        "steps": (),
        "every": None,
        "offset": 0,
        "rank": None,
        "why": "It is pruned by hand.",
    }
    return Expectation(**fields | changed)
