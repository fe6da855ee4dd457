"""Scattered elements of what an optimizer reads and writes, as an Update begins and as it returns.

Rules: positions follow from this process's key and the number of the Update, so that nobody knows them who does not
know the key, and a reader who does can work them out; every tensor that has a gradient gives some, a small one all;
nothing is compared here. Only for optimizers whose `step` is one of torch's own that has a rule; tensors that give no
samples are counted, with the reason, in the layout.

Known weakness: whoever reads this process's memory knows the positions. Then only a replay sees more.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from typing import Any, NamedTuple, Optional

import torch

from . import memory, modules, session
from .guard import guarded
from .plain import text

BUDGET = 512  # elements for each Update, of all tensors
LEAST, MOST = 4, 32  # elements of one tensor
MAX_TENSORS = 4096  # of one optimizer
MAX_LAYOUTS = 16  # kept; a model whose experts take turns has several
MAX_LINES = 512  # of a frame
MAX_REASONS = 16
MAX_BYTES = 4_000  # of one quantity in one frame; there are nine of them at most, and base64 makes a third more
RULES = frozenset(
    {
        "torch.optim.adagrad.Adagrad",
        "torch.optim.adam.Adam",
        "torch.optim.adamw.AdamW",
        "torch.optim.nadam.NAdam",
        "torch.optim.radam.RAdam",
        "torch.optim.rmsprop.RMSprop",
        "torch.optim.sgd.SGD",
    }
)
ONE_EACH = ("step", "mu_product")  # states with one number for the whole tensor
_MASK = 2**63 - 1
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_TYPES = frozenset({torch.float32, torch.float64})

_layouts: OrderedDict[Any, Optional[list["_Layout"]]] = OrderedDict()
_said: dict[str, None] = {}


class _Tensor(NamedTuple):
    """Where one tensor of an optimizer stands. Itself it is asked for at each Update: nothing is kept alive."""

    group: int
    index: int
    alias: Optional[str]
    size: int

    def of(self, optimizer: Any) -> Any:
        """The tensor, as it is now; a sharded one is asked for its shard as it is read."""
        return optimizer.param_groups[self.group]["params"][self.index]


class Taken(NamedTuple):
    """What was sampled as an Update began."""

    layouts: list["_Layout"]
    before: list[dict[str, bytes]]
    late: bool  # the gradients are read as the step returns, since hooks of the program come between


class _Layout:
    """Tensors of one dtype and one set of states, with the places that their samples are gathered in."""

    def __init__(self, ordinal: int, rule: str, dtype: Any, tensors: list[_Tensor], share: int) -> None:
        self.ordinal = ordinal
        self.rule = rule
        self.tensors = tensors
        self.dtype = dtype
        self.left_out: dict[str, int] = {}
        self.counts = [min(one.size, share) for one in tensors]
        total = sum(self.counts)
        sizes = [one.size for one in tensors]
        repeated = [n for n, count in zip(sizes, self.counts) for _ in range(count)]  # noqa: B905  (Python 3.9)
        self._sizes = torch.tensor(repeated, dtype=torch.int64)
        self._whole = torch.tensor(
            [at if size == count else -1 for size, count in zip(sizes, self.counts) for at in range(count)],  # noqa: B905
            dtype=torch.int64,
        )
        self._is_whole = self._whole >= 0
        self._positions = torch.zeros(total, dtype=torch.int64)
        self._views = list(self._positions.split(self.counts))
        self._bytes = torch.zeros(total * self.dtype.itemsize, dtype=torch.uint8)
        self._places = list(self._bytes.view(self.dtype).split(self.counts))
        self.lines = [
            [one.group, one.index, one.alias, size, count]
            for one, size, count in zip(tensors, sizes, self.counts)  # noqa: B905
        ]
        self.name = ""
        self.named(self.left_out)

    def named(self, left_out: dict[str, int]) -> "_Layout":
        """With what is left out beside it; its name is a digest of all that it says."""
        self.left_out = left_out
        said = repr((self.ordinal, self.rule, str(self.dtype), self.lines, sorted(left_out.items())))
        self.name = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
        return self

    def draw(self, update: int) -> None:
        """The positions of this Update."""
        if not self.counts:
            return
        seed = session.key + b"saksi.sample/v1" + self.ordinal.to_bytes(8, "little") + update.to_bytes(8, "little")
        stream = bytearray(hashlib.shake_256(seed + bytes.fromhex(self.name)).digest(8 * len(self._positions)))
        words = torch.frombuffer(stream, dtype=torch.int64).bitwise_and_(_MASK)
        torch.remainder(words, self._sizes, out=self._positions)
        torch.where(self._is_whole, self._whole, self._positions, out=self._positions)

    def gather(self, tensors: list[Any], *, anew: bool = True) -> bytes:
        """The elements at the positions, of each of these tensors in turn.

        Raises `ValueError` if one has no memory; not `anew`, that has been asked as the Update began.
        """
        take = torch.take
        for given, positions, place in zip(tensors, self._views, self._places):  # noqa: B905
            tensor = given if type(given) in _PLAIN else memory.shard(given)
            if anew and not memory.is_there(tensor):
                raise ValueError("a tensor whose memory was let go")
            take(tensor, positions, out=place)
        return bytes(memory.hold(self._bytes).view)


@guarded("samples")
def before(optimizer: Any, ordinal: int, update: int, *, closure: bool) -> Optional[Taken]:
    """Samples as an Update begins; None where there are none. `closure`: gradients are made inside of the step."""
    rule = _rule_of(optimizer)
    if rule is None:
        return None
    # Hooks of the program come after ours; a fused kernel divides by the scale, and leaves the quotient.
    own = optimizer._optimizer_step_pre_hooks  # noqa: SLF001  (torch gives no public name to it)
    late = closure or bool(own) or getattr(optimizer, "grad_scale", None) is not None
    with memory.quiet(), torch.no_grad():
        layouts = _layouts_of(optimizer, ordinal, rule, late=late)
        taken = []
        for layout in layouts:
            layout.draw(update)
            parameters = [one.of(optimizer) for one in layout.tensors]
            found = {"parameter": layout.gather(parameters)}
            if not late:
                found["gradient"] = layout.gather([one.grad for one in parameters])
            taken.append(dict(found, **_states(optimizer, layout, parameters)))
    return Taken(layouts, taken, late)


@guarded("samples")
def after(optimizer: Any, taken: Taken, update: int) -> None:
    """Say the samples, with the same elements as the Update returns."""
    with memory.quiet(), torch.no_grad():
        for layout, first in zip(taken.layouts, taken.before):  # noqa: B905
            parameters = [one.of(optimizer) for one in layout.tensors]
            idle = []
            if taken.late:
                idle = [at for at, one in enumerate(parameters) if one.grad is None or _unsampled(one) is not None]
                given = [one if at in idle else one.grad for at, one in enumerate(parameters)]
                first["gradient"] = layout.gather(given)
            last = {"parameter": layout.gather(parameters, anew=False)}
            last.update(_states(optimizer, layout, parameters))
            _say(layout, update, idle, first, last)


def _states(optimizer: Any, layout: _Layout, parameters: list[Any]) -> dict[str, bytes]:
    """Every state tensor that all of these parameters have, by name."""
    found: dict[str, bytes] = {}
    held = optimizer.state
    kept = [held.get(one, {}) for one in parameters]
    for name in sorted(kept[0]) if kept else ():
        values = [one.get(name) for one in kept]
        if not all(isinstance(one, torch.Tensor) and memory.lies_here(memory.shard(one)) for one in values):
            continue
        if name in ONE_EACH:
            if all(one.dim() == 0 and one.dtype is torch.float32 for one in values):
                joined = torch.stack(values).view(torch.uint8)
                found[name] = bytes(memory.hold(joined).view)
        elif all(one.dtype is layout.dtype for one in values):
            found[name] = layout.gather(values)
    return found


def _layouts_of(optimizer: Any, ordinal: int, rule: str, *, late: bool) -> list[_Layout]:
    key: list[Any] = [ordinal, late]
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            kept = optimizer.state.get(parameter)
            gives = parameter.requires_grad if late else parameter.grad is not None
            key.append((memory.shard(parameter).numel(), parameter.dtype, gives, bool(kept)))
    wanted = tuple(key)
    known = _layouts.get(wanted)
    if known is None:
        known = _layouts[wanted] = _arranged(optimizer, ordinal, rule, late=late)
        while len(_layouts) > MAX_LAYOUTS:
            _layouts.popitem(last=False)
    return known


def _arranged(optimizer: Any, ordinal: int, rule: str, *, late: bool) -> list[_Layout]:
    names = modules.names()
    kinds: OrderedDict[Any, list[_Tensor]] = OrderedDict()
    left_out: dict[str, int] = {}
    for place, group in enumerate(optimizer.param_groups):
        for index, parameter in enumerate(group["params"]):
            if parameter.numel() == 0 or not (parameter.requires_grad if late else parameter.grad is not None):
                continue
            reason = _unsampled(parameter)
            if reason is None and sum(len(one) for one in kinds.values()) >= MAX_TENSORS:
                reason = "tensors beyond the first %d" % MAX_TENSORS
            if reason is not None:
                left_out[text(reason, 200)] = left_out.get(text(reason, 200), 0) + 1
                continue
            alias = names.get(id(parameter))
            size = memory.shard(parameter).numel()
            if size == 0:
                continue
            one = _Tensor(place, index, None if alias is None else text(alias, 200), size)
            kinds.setdefault((parameter.dtype, bool(optimizer.state.get(parameter))), []).append(one)
    share = max(LEAST, min(MOST, BUDGET // max(1, sum(len(one) for one in kinds.values()))))
    found = [
        _Layout(ordinal, rule, dtype, part, share)
        for (dtype, _), tensors in kinds.items()
        for part in _parts(tensors, share, MAX_BYTES // dtype.itemsize)
    ] or [_Layout(ordinal, rule, torch.float32, [], share)]
    found[0].named(dict(sorted(left_out.items())[:MAX_REASONS]))
    return found


def _parts(tensors: list[_Tensor], share: int, room: int) -> list[list[_Tensor]]:
    """The tensors in turn, in parts of at most `room` elements."""
    parts: list[list[_Tensor]] = [[]]
    left = room
    for one in tensors:
        count = min(one.size, share)
        if count > left:
            parts.append([])
            left = room
        parts[-1].append(one)
        left -= count
    return parts


def _unsampled(parameter: Any) -> Optional[str]:
    """Why a tensor gives no samples, in words; None if it does."""
    gradient = memory.shard(parameter if parameter.grad is None else parameter.grad)
    parameter = memory.shard(parameter)
    for one, what in ((parameter, ""), (gradient, "gradients that are ")):
        why = memory.unreadable(one)
        if why is not None:
            return what + why[0]
    if parameter.dtype not in _TYPES:
        return "tensors of %s" % parameter.dtype
    return None if gradient.dtype is parameter.dtype else "gradients of %s" % gradient.dtype


def _rule_of(optimizer: Any) -> Optional[str]:
    """The class whose own `step` it is, if that is one of torch's that has a rule."""
    for kind in type(optimizer).__mro__:
        if "step" in vars(kind):
            name = kind.__module__ + "." + kind.__qualname__
            return name if name in RULES else None
    return None


def _say(layout: _Layout, update: int, idle: list[int], first: dict[str, bytes], last: dict[str, bytes]) -> None:
    if layout.name not in _said:
        _said[layout.name] = None
        parts = [layout.lines[at : at + MAX_LINES] for at in range(0, len(layout.lines), MAX_LINES)] or [[]]
        for place, lines in enumerate(parts):
            session.say(
                "sampled",
                {
                    "layout": layout.name, "optimizer": layout.ordinal, "rule": layout.rule, "dtype": str(layout.dtype),
                    "part": place, "parts": len(parts), "tensors": lines,
                    "left_out": {} if place else layout.left_out,
                },
            )  # fmt: skip
    session.say(
        "sample",
        {
            "layout": layout.name, "optimizer": layout.ordinal, "update": update, "idle": idle,
            "before": {name: base64.b64encode(raw).decode("ascii") for name, raw in first.items()},
            "after": {name: base64.b64encode(raw).decode("ascii") for name, raw in last.items()},
        },
    )  # fmt: skip


session.forgetters.append(_said.clear)
