"""Which tensors of an optimizer give samples, how many elements of each, and where those are gathered.

Rules: nothing of the program is kept alive: a layout knows places in the optimizer, and asks for the tensors anew; one
layout has one dtype and one set of states; what gives no samples is counted with the reason.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, NamedTuple, Optional

import torch

from . import drawing, memory, modules
from .plain import text

BUDGET = 512  # elements for each Update, of all tensors
LEAST, MOST = 4, 32  # elements of one tensor
AHEAD = 4  # elements of one tensor that the next Update's samples begin with, and that are read as this one returns
MAX_TENSORS = 4096  # of one optimizer
MAX_KNOWN = 512  # kept; a model whose experts take turns has several, and each optimizer its own
MAX_REASONS = 16
MAX_BYTES = 3_000  # of one quantity in one frame; there are 13 of them at most, and base64 makes a third more
ONE_EACH = ("step", "mu_product")  # states with one number for the whole tensor
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
_MASK = 2**63 - 1
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_TYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})

_known: OrderedDict[Any, list["Layout"]] = OrderedDict()


class CannotBeReadError(Exception):
    """A tensor is not what its layout was made for: this Update gives no samples."""


class Place(NamedTuple):
    """Where one tensor of an optimizer stands."""

    group: int
    index: int
    alias: Optional[str]
    size: int

    def of(self, optimizer: Any) -> Any:
        """The tensor, as it is now; a sharded one is asked for its shard as it is read."""
        return optimizer.param_groups[self.group]["params"][self.index]


class Layout:
    """Tensors of one dtype and one set of states, with the places that their samples are gathered in."""

    def __init__(self, ordinal: int, rule: str, kind: Any, tensors: list[Place], share: int) -> None:
        self.ordinal = ordinal
        self.rule = rule
        self.tensors = tensors
        self.dtype, self.states = kind
        self.left_out: dict[str, int] = {}
        self.counts = [min(one.size, share) for one in tensors]
        sizes = [one.size for one in tensors]
        repeated = [n for n, count in zip(sizes, self.counts) for _ in range(count)]  # noqa: B905  (Python 3.9)
        self._sizes = torch.tensor(repeated, dtype=torch.int64)
        every = [at if size == count else -1 for size, count in zip(sizes, self.counts) for at in range(count)]  # noqa: B905
        self._every = torch.tensor(every, dtype=torch.int64)
        self._is_small = self._every >= 0
        self._positions = torch.zeros(len(repeated), dtype=torch.int64)
        self._views = list(self._positions.split(self.counts))
        self._into = self._room(self.counts)
        self._few = [one[:AHEAD] for one in self._views]
        self._few_into = self._room([len(one) for one in self._few])
        self._drawn: Any = None
        self.lines = [
            [one.group, one.index, one.alias, one.size, count]
            for one, count in zip(tensors, self.counts)  # noqa: B905
        ]
        self.name = ""
        self.named({})

    def named(self, left_out: dict[str, int]) -> None:
        """Set what is left out beside it; its name is a digest of all that it says."""
        self.left_out = left_out
        said = repr((self.ordinal, self.rule, str(self.dtype), self.states, self.lines, sorted(left_out.items())))
        self.name = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]

    def _room(self, counts: list[int]) -> tuple[memory.Held, list[Any]]:
        """Bytes for so many elements of each tensor, and those of each as elements. They are ours, and stay."""
        room = torch.zeros(sum(counts) * self.dtype.itemsize, dtype=torch.uint8)
        return memory.hold(room), list(room.view(self.dtype).split(counts))

    def draw(self, update: int) -> None:
        """Choose the positions of this Update; those that were chosen last are at hand."""
        if not self.counts or self._drawn == (drawing.key(), update, self.name):
            return
        self._drawn = None
        number = drawing.number(update).to_bytes(8, "little")
        seed = drawing.key() + b"saksi.sample/v1" + self.ordinal.to_bytes(8, "little") + number
        stream = bytearray(hashlib.shake_256(seed + bytes.fromhex(self.name)).digest(8 * len(self._positions)))
        words = torch.frombuffer(stream, dtype=torch.int64).bitwise_and_(_MASK)
        torch.remainder(words, self._sizes, out=self._positions)
        torch.where(self._is_small, self._every, self._positions, out=self._positions)
        self._drawn = drawing.key(), update, self.name

    def gather(self, tensors: list[Any], *, few: bool = False) -> bytes:
        """The elements at the positions, of each of these tensors in turn; `few`: at the first ones alone.

        Raises `CannotBeReadError`.
        """
        take = torch.take
        room, rooms = self._few_into if few else self._into
        views = self._few if few else self._views
        for given, place, positions, gathered in zip(tensors, self.tensors, views, rooms):  # noqa: B905
            tensor = given if type(given) in _PLAIN else memory.shard(given)
            if tensor.dtype is not self.dtype or tensor.numel() != place.size or not memory.is_there(tensor):
                raise CannotBeReadError("a tensor that has become another, or whose memory was let go")
            take(tensor, positions, out=gathered)
        return bytes(room.view)


def rule_of(optimizer: Any) -> Optional[str]:
    """The class whose own `step` it is, if that is one of torch's that has a rule."""
    for kind in type(optimizer).__mro__:
        if "step" in vars(kind):
            name = kind.__module__ + "." + kind.__qualname__
            return name if name in RULES else None
    return None


def layouts_of(optimizer: Any, ordinal: int, rule: str, *, late: bool) -> list[Layout]:
    """The layouts of an optimizer as it is now; `late`: the gradients come inside of the step."""
    key: list[Any] = [ordinal, late]
    states = optimizer.state
    for group in optimizer.param_groups:
        key.append(len(group["params"]))
        for parameter in group["params"]:
            local = parameter if type(parameter) in _PLAIN else memory.shard(parameter)
            gradient = parameter.grad
            gives = parameter.requires_grad if late else gradient is not None and gradient.layout
            kept = states.get(parameter)
            key.append((local.numel(), local.dtype, memory.lies_here(local), gives, tuple(kept) if kept else None))
    wanted = tuple(key)
    found = _known.get(wanted)
    if found is None:
        found = _known[wanted] = _arranged(optimizer, ordinal, rule, late=late)
        while len(_known) > MAX_KNOWN:
            _known.popitem(last=False)
    return found


def gradients(layout: Layout, parameters: list[Any]) -> tuple[list[int], bytes]:
    """The tensors that have no gradient that is read, and the elements of the gradients: theirs are no gradient's."""
    idle = [at for at, one in enumerate(parameters) if one.grad is None or without(one) is not None]
    given = [one if at in idle else one.grad for at, one in enumerate(parameters)]
    return idle, layout.gather(given)


def _arranged(optimizer: Any, ordinal: int, rule: str, *, late: bool) -> list[Layout]:
    names = modules.names()
    kinds: OrderedDict[Any, list[Place]] = OrderedDict()
    left_out: dict[str, int] = {}
    count = 0
    for group, index, parameter in _giving(optimizer, late=late):
        size = memory.shard(parameter).numel()
        if size == 0:
            continue
        states = optimizer.state.get(parameter) or {}
        reason = _unsampled(parameter) or _unsampled_state(parameter, states)
        if reason is None and count >= MAX_TENSORS:
            reason = "tensors beyond the first %d" % MAX_TENSORS
        if reason is not None:
            left_out[text(reason, 200)] = left_out.get(text(reason, 200), 0) + 1
            continue
        count += 1
        alias = names.get(id(parameter))
        kind = parameter.dtype, tuple(sorted(one for one, value in states.items() if isinstance(value, torch.Tensor)))
        place = Place(group, index, None if alias is None else text(alias, 200), size)
        kinds.setdefault(kind, []).append(place)
    share = max(LEAST, min(MOST, BUDGET // max(1, count)))
    found = [
        Layout(ordinal, rule, kind, part, share)
        for kind, tensors in kinds.items()
        for part in _parts(tensors, share, MAX_BYTES // kind[0].itemsize)
    ] or [Layout(ordinal, rule, (torch.float32, ()), [], share)]
    found[0].named(dict(sorted(left_out.items())[:MAX_REASONS]))
    return found


def _giving(optimizer: Any, *, late: bool) -> list[tuple[int, int, Any]]:
    """Group, index and parameter, of those that have a gradient, or may get one inside of the step."""
    return [
        (place, index, parameter)
        for place, group in enumerate(optimizer.param_groups)
        for index, parameter in enumerate(group["params"])
        if (parameter.requires_grad if late else parameter.grad is not None)
    ]


def _parts(tensors: list[Place], share: int, room: int) -> list[list[Place]]:
    """The tensors in turn, in parts of at most `room` elements."""
    parts: list[list[Place]] = [[]]
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
    local = memory.shard(parameter)
    why = memory.unreadable(local)
    if why is not None:
        return why[0]
    if local.dtype not in _TYPES:
        return "tensors of %s" % local.dtype
    if local.is_shared():
        return "tensors that other processes may change"
    return None if parameter.grad is None else without(parameter)


def without(parameter: Any) -> Optional[str]:
    """Why the gradient of a tensor is not read, in words; None if it is."""
    gradient = memory.shard(parameter.grad)
    why = memory.unreadable(gradient)
    if why is not None:
        return "gradients that are " + why[0]
    return None if gradient.dtype is parameter.dtype else "gradients of %s" % gradient.dtype


def _unsampled_state(parameter: Any, states: dict[Any, Any]) -> Optional[str]:
    local = memory.shard(parameter)
    for name, value in states.items():
        if not isinstance(value, torch.Tensor):
            continue
        held = memory.shard(value)
        if not isinstance(name, str) or memory.unreadable(held) is not None:
            return "tensors whose state %s is not read" % text(name, 40)
        if name in ONE_EACH:
            if held.dim() or not held.is_floating_point():
                return "tensors whose state %s is no single number" % name
        elif held.dtype is not local.dtype or held.numel() != local.numel():
            return "tensors whose state %s is of another form" % text(name, 40)
    return None
