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
MAX_WORDS = 8  # of a name that are compared
NEAREST_OF = 8  # parameters of one shape and name that are told apart by their values
_MASK = 2**63 - 1
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_TYPES = frozenset({torch.float32, torch.float64, torch.bfloat16, torch.float16})


class Place(NamedTuple):
    """A tensor that no optimizer holds: its module and name there, and the trained one beside it."""

    holder: Any  # a weak reference
    trained: Any  # likewise
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
        """The trained one. Raises `CannotBeReadError` where another one has come to its place."""
        found = optimizer.param_groups[self.group]["params"][self.index]
        if found is not self.trained():
            raise CannotBeReadError("a parameter that has come to another place")
        return found


class Layout:
    """Tensors of one dtype beside parameters of one dtype."""

    def __init__(self, ordinal: int, dtypes: tuple[Any, Any], places: list[Place], share: int) -> None:
        self.ordinal = ordinal
        self.dtypes = dtypes
        self.places = places
        self.share = share
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

    def is_of(self, dtypes: tuple[Any, Any], places: list[Place], share: int) -> bool:
        """Whether it is of these very tensors: references to one living object are the same one."""
        if (self.dtypes, self.share, len(self.places)) != (dtypes, share, len(places)):
            return False
        pairs = zip(self.places, places)  # noqa: B905
        return all(
            mine.holder is its.holder and mine.trained is its.trained and mine[2:] == its[2:] for mine, its in pairs
        )

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
    ordinal: int
    group: int
    index: int
    tensor: Any


_Table = dict[tuple[tuple[int, ...], str], list[_Trained]]


def layouts_of(ordinal: int, known: list[Layout]) -> list[Layout]:
    """The layouts of what may follow the parameters of one optimizer, as the program is now. Call in `quiet`.

    Of those that are `known` each is kept that is still the same.
    """
    held = {id(one) for _, other in optimizers.living() for group in other.param_groups for one in group["params"]}
    untrained = list(_untrained(held))
    trained = _trained() if untrained else {}
    kinds: OrderedDict[Any, list[Place]] = OrderedDict()
    count = 0
    for place, dtypes in _beside(untrained, trained, ordinal):
        count += 1
        if count > MAX_TENSORS:
            reason = "only the first %d are looked at" % MAX_TENSORS
            session.uncovered("averages of more than %d tensors" % MAX_TENSORS, reason)
            break
        kinds.setdefault(dtypes, []).append(place)
    share = max(LEAST, min(MOST, BUDGET // max(1, count)))
    found = []
    for dtypes, places in kinds.items():
        many = max(1, MAX_BYTES // max(one.itemsize for one in dtypes) // share)
        for at in range(0, len(places), many):
            part = places[at : at + many]
            same = [one for one in known if one.is_of(dtypes, part, share)]
            found.append(same[0] if same else Layout(ordinal, dtypes, part, share))
    return found


def _trained() -> _Table:
    """What optimizers hold that has a name and is read, by shape and by each end of the name."""
    names = modules.names()
    met: set[int] = set()
    found: _Table = {}
    for ordinal, optimizer in optimizers.living():
        for group, one in enumerate(optimizer.param_groups):
            for index, parameter in enumerate(one["params"]):
                name = names.get(id(parameter))
                if id(parameter) not in met and name is not None and _gives(parameter):
                    met.add(id(parameter))
                    shape, trained = tuple(parameter.shape), _Trained(ordinal, group, index, parameter)
                    for end in _ends(name):
                        found.setdefault((shape, end), []).append(trained)
    return found


def _ends(name: str) -> list[str]:
    """The last words of a name, the most of them first."""
    words = name.split(".")
    return [".".join(words[at:]) for at in range(max(0, len(words) - MAX_WORDS), len(words))]


def _gives(tensor: Any) -> bool:
    return is_read(tensor) and tensor.dtype in _TYPES and tensor.numel() > 0 and not tensor.is_shared()


def _untrained(held: set[int]) -> Iterator[tuple[Any, str, str, Any]]:
    """Of each parameter that no optimizer holds and that is read: its module, a word for the top one, name, itself."""
    seen: set[int] = set()
    for label, top in modules.known():
        for prefix, one in modules.within(top):
            for name, tensor in modules.own_parameters(one, prefix):
                if id(tensor) not in held and id(tensor) not in seen and _gives(tensor):
                    seen.add(id(tensor))
                    yield one, label, name, tensor


def _beside(
    untrained: list[tuple[Any, str, str, Any]], trained: _Table, ordinal: int
) -> Iterator[tuple[Place, tuple[Any, Any]]]:
    for holder, label, name, tensor in untrained:
        beside = _nearest(name, tensor, trained)
        if beside is not None and beside.ordinal == ordinal:
            where = beside.group, beside.index, tensor.numel()
            place = Place(
                weakref.ref(holder),
                weakref.ref(beside.tensor),
                name.rpartition(".")[2],
                label,
                text(name, MAX_NAME),
                *where,
            )
            yield place, (tensor.dtype, beside.tensor.dtype)


def _nearest(name: str, tensor: Any, trained: _Table) -> Optional[_Trained]:
    """The trained tensor whose name ends with the most of the same words; of several, that with the nearest values."""
    shape = tuple(tensor.shape)
    among = next((trained[shape, end] for end in _ends(name) if (shape, end) in trained), [])
    if len(among) <= 1:
        return among[0] if among else None
    return min(among[:NEAREST_OF], key=lambda one: _apart(tensor, one.tensor))


def _apart(one: Any, other: Any) -> float:
    places = torch.arange(0, one.numel(), max(1, one.numel() // MOST))[:MOST]
    difference = torch.take(one, places).to(torch.float64) - torch.take(other, places).to(torch.float64)
    found = float(difference.abs_().sum())
    return found if found == found else float("inf")  # noqa: PLR0124  (no number)
