"""Which tensors may be averages of an optimizer's parameters, and where their elements are gathered.

Rules: a parameter of a registered module, or of a copy of one, that no optimizer holds is looked at beside the trained
one of its shape whose name ends alike; of several such the one whose values are nearest as it is looked for. Nothing of
the program is kept alive: a layout knows the module and the name, and asks for the tensor anew.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from typing import Any, Iterator, NamedTuple, Optional

import torch

from . import memory, modules, optimizers, session
from .plain import text
from .sample_layouts import CannotBeReadError

BUDGET = 512  # elements for each Update, of all tensors
LEAST, MOST = 4, 16  # elements of one tensor
MAX_TENSORS = 1024  # of one optimizer
MAX_NAME = 120
MAX_BYTES = 4_000  # of one quantity in one frame; there are five of them
NEAREST_OF = 8  # parameters of one shape and name that are told apart by their values
_MASK = 2**63 - 1
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_TYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


class Place(NamedTuple):
    """A tensor that no optimizer holds: its module and name there, and the trained one beside it."""

    holder: Any  # a weak reference
    own: str
    module: str
    name: str
    group: int
    index: int
    size: int

    def average(self) -> Any:
        """The tensor, as it is now; None if it is gone."""
        holder = self.holder()
        return None if holder is None else modules.own_parameter(holder, self.own)

    def parameter(self, optimizer: Any) -> Any:
        """The trained one."""
        return optimizer.param_groups[self.group]["params"][self.index]


class Layout:
    """Tensors of one dtype beside parameters of one dtype."""

    def __init__(self, ordinal: int, dtypes: tuple[Any, Any], places: list[Place], share: int) -> None:
        self.ordinal = ordinal
        self.dtypes = dtypes
        self.places = places
        counts = [min(one.size, share) for one in places]
        self.lines = [
            [one.module, one.name, one.group, one.index, one.size, count]
            for one, count in zip(places, counts)  # noqa: B905  (strict= is newer than Python 3.9)
        ]
        said = repr((ordinal, [str(one) for one in dtypes], self.lines))
        self.name = hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:32]
        sizes = [one.size for one, count in zip(places, counts) for _ in range(count)]  # noqa: B905
        self._sizes = torch.tensor(sizes, dtype=torch.int64)
        self._positions = torch.zeros(len(sizes), dtype=torch.int64)
        self._views = list(self._positions.split(counts))
        self._bytes = [torch.zeros(len(sizes) * one.itemsize, dtype=torch.uint8) for one in dtypes]
        pairs = zip(self._bytes, dtypes)  # noqa: B905
        self._gathered = [list(raw.view(one).split(counts)) for raw, one in pairs]

    def draw(self, update: int) -> None:
        """Choose the positions between this Update and the next."""
        seed = session.key + b"saksi.average/v1" + self.ordinal.to_bytes(8, "little") + update.to_bytes(8, "little")
        stream = bytearray(hashlib.shake_256(seed + bytes.fromhex(self.name)).digest(8 * len(self._positions)))
        words = torch.frombuffer(stream, dtype=torch.int64).bitwise_and_(_MASK)
        torch.remainder(words, self._sizes, out=self._positions)

    def averages(self) -> bytes:
        """The elements of the tensors at the positions. Raises `CannotBeReadError`."""
        return self._gather(0, [one.average() for one in self.places])

    def parameters(self, optimizer: Any) -> bytes:
        """Those of the parameters beside them. Raises `CannotBeReadError`."""
        return self._gather(1, [one.parameter(optimizer) for one in self.places])

    def _gather(self, which: int, tensors: list[Any]) -> bytes:
        take, dtype, outs = torch.take, self.dtypes[which], self._gathered[which]
        for tensor, place, at, out in zip(tensors, self.places, self._views, outs):  # noqa: B905
            if tensor is None or not is_read(tensor):
                raise CannotBeReadError("a tensor that is gone, or has become another")
            if tensor.dtype is not dtype or tensor.numel() != place.size or not memory.is_there(tensor):
                raise CannotBeReadError("a tensor that has become another, or whose memory was let go")
            take(tensor, at, out=out)
        return bytes(memory.hold(self._bytes[which]).view)


def is_read(tensor: Any) -> bool:
    """Whether elements of a tensor are read: dense, in this host's memory, in one piece."""
    return type(tensor) in _PLAIN and tensor.layout is torch.strided and memory.lies_here(tensor)


class _Trained(NamedTuple):
    words: list[str]
    ordinal: int
    group: int
    index: int
    tensor: Any


def layouts_of(ordinal: int) -> list[Layout]:
    """The layouts of what may follow the parameters of one optimizer, as the program is now. Call in `quiet`."""
    held, trained = _trained()
    kinds: OrderedDict[Any, list[Place]] = OrderedDict()
    count = 0
    for place, dtypes in _beside(held, trained, ordinal) if trained else ():
        count += 1
        if count > MAX_TENSORS:
            reason = "only the first %d are looked at" % MAX_TENSORS
            session.uncovered("averages of more than %d tensors" % MAX_TENSORS, reason)
            break
        kinds.setdefault(dtypes, []).append(place)
    share = max(LEAST, min(MOST, BUDGET // max(1, count)))
    return [
        Layout(ordinal, dtypes, places[at : at + many], share)
        for dtypes, places in kinds.items()
        for many in [max(1, MAX_BYTES // max(one.itemsize for one in dtypes) // share)]
        for at in range(0, len(places), many)
    ]


def _trained() -> tuple[set[int], dict[Any, list[_Trained]]]:
    """What optimizers hold, and by shape and last word of the name those of them that have one and are read."""
    names = modules.names()
    held: set[int] = set()
    found: dict[Any, list[_Trained]] = {}
    for ordinal, optimizer in optimizers.living():
        for group, one in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(one["params"]):
                known, name = id(parameter) in held, names.get(id(parameter))
                held.add(id(parameter))
                if not known and name is not None and _gives(parameter):
                    words = name.split(".")
                    kind = tuple(parameter.shape), words[-1]
                    found.setdefault(kind, []).append(_Trained(words, ordinal, group, index, parameter))
    return held, found


def _gives(tensor: Any) -> bool:
    return is_read(tensor) and tensor.dtype in _TYPES and tensor.numel() > 0 and not tensor.is_shared()


def _beside(
    held: set[int], trained: dict[Any, list[_Trained]], ordinal: int
) -> Iterator[tuple[Place, tuple[Any, Any]]]:
    seen: set[int] = set()
    for label, top in modules.known():
        for prefix, one in modules.within(top):
            for name, tensor in modules.own_parameters(one, prefix):
                if id(tensor) in held or id(tensor) in seen or not _gives(tensor):
                    continue
                seen.add(id(tensor))
                words = name.split(".")
                beside = _nearest(words, tensor, trained.get((tuple(tensor.shape), words[-1]), []))
                if beside is None or beside.ordinal != ordinal:
                    continue
                place = Place(
                    weakref.ref(one), words[-1], label, text(name, MAX_NAME), beside.group, beside.index, tensor.numel()
                )
                yield place, (tensor.dtype, beside.tensor.dtype)


def _nearest(words: list[str], tensor: Any, among: list[_Trained]) -> Optional[_Trained]:
    """The trained tensor whose name ends with the most of the same words; of several, that with the nearest values."""
    if not among:
        return None
    alike = [_alike(words, one.words) for one in among]
    most = [one for one, count in zip(among, alike) if count == max(alike)]  # noqa: B905  (Python 3.9)
    if len(most) == 1:
        return most[0]
    return min(most[:NEAREST_OF], key=lambda one: _apart(tensor, one.tensor))


def _alike(one: list[str], other: list[str]) -> int:
    count = 0
    for mine, its in zip(reversed(one), reversed(other)):  # noqa: B905
        if mine != its:
            break
        count += 1
    return count


def _apart(one: Any, other: Any) -> float:
    places = torch.arange(0, one.numel(), max(1, one.numel() // MOST))[:MOST]
    difference = torch.take(one, places).to(torch.float64) - torch.take(other, places).to(torch.float64)
    found = float(difference.abs_().sum())
    return found if found == found else float("inf")  # noqa: PLR0124  (no number)
