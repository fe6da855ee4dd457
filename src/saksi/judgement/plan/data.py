"""What a project declares of its training data: the values, and the table `[data]` that they are written in.

Rules: as of a plan. One form for one meaning, an unknown key is refused, and what is not said is held to nothing. It
speaks of the loaders that batches are trained on from, one at a time, and of each of their epochs.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

from saksi.judgement.plan.values import MAX_STEP
from saksi.words.errors import UsageError

__all__ = ["DATA_KEYS", "Content", "DataPlan", "Each", "SampleOrder", "data_in"]

SampleOrder: TypeAlias = Literal["shuffled", "sequential", "any"]
"""`shuffled`: as one of torch's own samplers shuffles, from a state that is in the record."""
Each: TypeAlias = Literal["once", "any"]
Content: TypeAlias = Literal["same", "any"]
"""`same`: a sample has the same values each time that it comes."""
DATA_KEYS: Final = ("batch", "content", "drop_last", "each", "items", "order")
_ORDERS: Final[tuple[SampleOrder, ...]] = get_args(SampleOrder)
_CONTENTS: Final[tuple[Content, ...]] = get_args(Content)
_EACH: Final[tuple[Each, ...]] = get_args(Each)


class DataPlan(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """What an epoch hands out: so many different `items`, of all ranks together, in this order, each so often.

    `content` is whether a sample that comes again has the values that it had; `batch`, how many samples a batch of each
    process has.
    """

    items: Annotated[int, Meta(ge=1, le=MAX_STEP)] | None
    order: SampleOrder
    each: Each
    drop_last: bool | None
    content: Content
    batch: Annotated[int, Meta(ge=1, le=MAX_STEP)] | None = None


def data_in(found: object, where: str) -> DataPlan | None:
    """What is declared in a table of TOML; `None` where there is none. Raises `UsageError` that names the key."""
    if found is None:
        return None
    place = f"{where}: data"
    if not isinstance(found, dict):
        raise UsageError(f"{place} is not a table", remedy="[data] stands above its keys")
    for key in sorted(found):
        if key not in DATA_KEYS:
            raise UsageError(f"{place}: unknown key {key[:80]!r}", remedy=f"known keys: {', '.join(DATA_KEYS)}")
    items, batch, drop_last = found.get("items"), found.get("batch"), found.get("drop_last")
    for key, count in (("items", items), ("batch", batch)):
        if count is not None and (type(count) is not int or not 1 <= count <= MAX_STEP):
            raise UsageError(f"{place}.{key} is not a number of samples, at least 1")
    if drop_last is not None and not isinstance(drop_last, bool):
        raise UsageError(f"{place}.drop_last is neither true nor false")
    order = next((each for each in _ORDERS if each == _word(found, "order")), None)
    each = next((each for each in _EACH if each == _word(found, "each")), None)
    if order is None:
        raise UsageError(f"{place}.order is not one of {', '.join(_ORDERS)}")
    if each is None:
        raise UsageError(f"{place}.each is not one of {', '.join(_EACH)}")
    content = next((each for each in _CONTENTS if each == _word(found, "content")), None)
    if content is None:
        raise UsageError(f"{place}.content is not one of {', '.join(_CONTENTS)}")
    return DataPlan(items=items, order=order, each=each, drop_last=drop_last, content=content, batch=batch)


def _word(found: dict[str, Any], key: str) -> object:
    return found.get(key, "any")
