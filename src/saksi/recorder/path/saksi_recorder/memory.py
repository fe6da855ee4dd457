"""The bytes of tensors, read where they lie: no copy, no operation that autograd, a mode or a device would notice.

Rules: a tensor that is not dense, strided and in the CPU's memory is never read here (that would wait for a device);
what a device can be asked to deliver later is `reachable` besides; each kind of the others is named once; a view is
used and let go inside the call that asked for it.
"""

# ruff: noqa: SLF001  (torch gives no public name to what is read here)

from __future__ import annotations

import ctypes
import struct
from operator import attrgetter
from types import TracebackType
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional, Union

import torch

from . import session
from .plain import number, plain, text

_from_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_from_memory.restype = ctypes.py_object
_from_memory.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int]
_WRITABLE = 0x200  # PyBUF_WRITE: torch.frombuffer warns about anything less; nothing is ever written

MAX_DEPTH = 8
MAX_COPY_BYTES = 64 * 1024 * 1024  # of a tensor that is larger than its own memory

_SCALARS = {
    torch.float64: "<d",
    torch.float32: "<f",
    torch.float16: "<e",
    torch.int64: "<q",
    torch.int32: "<i",
    torch.int16: "<h",
    torch.int8: "<b",
    torch.uint8: "<B",
    torch.bool: "<?",
}
NOT_READ = "not read: that would wait for the device, or has no bytes of its own"

lies_here: Callable[[Any], bool] = attrgetter("is_cpu")
"""Whether a tensor is in the CPU's memory. Tests pretend here that some are not."""
elsewhere: list[Callable[[Any], Optional[tuple[str, str]]]] = []
"""What reads tensors on devices, if it could be put in place: why it does not read one, None if it does."""

reached: set[str] = set()
"""Kinds of devices of which everything that lies in C order is read."""
_readable_types: dict[type, bool] = {}
_PLAIN = (torch.Tensor, torch.nn.Parameter)


class quiet:  # noqa: N801  (reads as a statement)
    """What torch does inside is not seen by the user's function modes, dispatch modes or tensor subclasses."""

    def __enter__(self) -> None:
        self._function = torch._C.DisableTorchFunction()
        self._dispatch = torch._C._DisableTorchDispatch()
        self._function.__enter__()
        self._dispatch.__enter__()

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._dispatch.__exit__(kind, error, traceback)
        self._function.__exit__(kind, error, traceback)


_SHAPELESS = getattr(torch.nn.parameter, "UninitializedTensorMixin", ())
"""Parameters that get a shape, and become others, as a lazy module is first called."""


class Held(NamedTuple):
    """A view of memory and the tensor that keeps the memory alive."""

    view: Any
    keeper: Any
    nbytes: int


class Place(NamedTuple):
    """Where the bytes of a tensor are, and the tensor that keeps them alive; of no bytes there is no place."""

    address: int
    keeper: Any
    nbytes: int


def where(value: Any) -> tuple[str, int]:
    """The kind and the number of the device that a tensor lies on."""
    return value.device.type, value.device.index or 0


def unreadable(value: Any, *, anywhere: bool = False) -> Optional[tuple[str, str]]:
    """What kind of tensor is not read, and why; None if it is. `anywhere`: also what a device may deliver is."""
    kind = type(value)
    known = _readable_types.get(kind)
    if known is None:
        # A class that takes over dispatch wraps other tensors: its own memory says nothing.
        known = getattr(kind, "__torch_dispatch__", None) is getattr(torch.Tensor, "__torch_dispatch__", None)
        known = known and not issubclass(kind, _SHAPELESS)
        _readable_types[kind] = known
    if not known:
        return "tensors of class " + kind.__module__ + "." + kind.__qualname__, NOT_READ
    if value.layout is not torch.strided:
        return "tensors of layout " + str(value.layout), NOT_READ
    if lies_here(value):
        return None
    if anywhere and elsewhere:
        return elsewhere[0](value)
    return "tensors on " + where(value)[0], NOT_READ


def shard(value: Any) -> Any:
    """What this rank holds of a distributed tensor; any other tensor as it is. No rank is asked for anything."""
    module = session.loaded("torch.distributed.tensor")
    kind = None if module is None else getattr(module, "DTensor", None)
    return value._local_tensor if kind is not None and type(value) is kind else value


def readable(tensors: Iterable[Any], of: str = "") -> list[Any]:
    """Those that can be read, a sharded one as the shard of this rank; the others are named once for each kind."""
    return _told_apart(tensors, of, anywhere=False)


def reachable(tensors: Iterable[Any]) -> list[Any]:
    """Those that can be read, and those that a device can be asked for; the others are named once for each kind."""
    return _told_apart(tensors, "", anywhere=True)


def here(tensors: Iterable[Any]) -> list[Any]:
    """As `readable`, but nothing is said of what lies on devices."""
    return readable(one for one in tensors if lies_here(shard(one)))


def on_devices(tensors: Iterable[Any]) -> list[Any]:
    """Of reachable tensors those that are not in the CPU's memory."""
    return [one for one in tensors if not lies_here(one)] if reached else []  # whoever uses no device pays nothing


def _told_apart(tensors: Iterable[Any], of: str, *, anywhere: bool) -> list[Any]:
    out = []
    for given in tensors:
        # Nearly all of them are one of these two, at both ends of every update.
        if type(given) in _PLAIN and given.layout is torch.strided and lies_here(given):
            out.append(given)
            continue
        if anywhere and type(given) in _PLAIN and given.layout is torch.strided and _lies_well(given):
            out.append(given)
            continue
        value = shard(given)
        why = unreadable(value, anywhere=anywhere)
        if why is None:
            out.append(value)
        else:
            session.uncovered(why[0] if lies_here(value) else of + why[0], why[1])
    return out


def _lies_well(value: Any) -> bool:
    return where(value)[0] in reached and value.is_contiguous()


def is_there(value: Any) -> bool:
    """Whether a readable tensor has the bytes that its elements need; one that has not is named once."""
    return _is_there(value, value.numel() * value.element_size())


def present(tensors: Iterable[Any]) -> list[Any]:
    """Those of readable tensors that `hold` gives the bytes of; the others are named once for each kind."""
    return [one for one in tensors if _is_there(one, one.numel() * one.element_size())]


def place_of(value: Any) -> Place:
    """Where the bytes of a readable tensor are in C order: its own memory if it lies so, else that of a copy."""
    nbytes = value.nbytes
    if nbytes == 0 or not _is_there(value, nbytes):
        return Place(0, value, 0)
    if not value.is_contiguous() or value.is_conj() or value.is_neg():
        value = value.detach().resolve_conj().resolve_neg().contiguous()
    address = value.data_ptr()
    if not address:  # a wrapper that says so of itself
        session.uncovered("tensors without a storage of their own", NOT_READ)
        return Place(0, value, 0)
    return Place(address, value, nbytes)


def held_at(place: Place) -> Held:
    """The bytes at a place."""
    view = _from_memory(place.address, place.nbytes, _WRITABLE) if place.nbytes else memoryview(b"")
    return Held(view, place.keeper, place.nbytes)


def hold(value: Any) -> Held:
    """The bytes of a readable tensor in C order: its own memory if it lies so, else a copy. None if not there."""
    return held_at(place_of(value))


def _is_there(value: Any, nbytes: int) -> bool:
    why = _lacking(value, nbytes) if nbytes else None
    if why is not None:
        session.uncovered(why, "not read: they have fewer bytes of their own than their elements need")
    return why is None


def _lacking(value: Any, nbytes: int) -> Optional[str]:
    # A storage may be let go or made smaller under a tensor: reading there would end the process.
    try:
        room = value.untyped_storage().nbytes()
    except RuntimeError:  # a wrapper of torch's transforms
        return "tensors without a storage of their own"
    if value.is_contiguous():
        reach = nbytes
    elif nbytes > max(room, MAX_COPY_BYTES):
        return "tensors expanded over their own elements"
    else:
        last = sum((n - 1) * stride for n, stride in zip(value.shape, value.stride()))  # noqa: B905  (Python 3.9)
        reach = (1 + last) * value.element_size()
    offset = value.storage_offset()
    if offset:
        reach += offset * value.element_size()
    return "tensors whose memory was let go" if reach > room else None


def view_of(array: Any) -> Any:
    """The memory of an array of numpy's that lies in C order; the array must outlive it."""
    return _from_memory(array.__array_interface__["data"][0], array.nbytes, _WRITABLE)


def scalar(value: Any) -> Optional[Union[int, float, str]]:
    """The number in a tensor of one element; None where it cannot be read."""
    if not isinstance(value, torch.Tensor) or unreadable(value) is not None or value.numel() != 1:
        return None
    held = hold(value)
    return decoded(bytes(held.view), value.dtype) if held.nbytes else None


def decoded(raw: bytes, dtype: Any) -> Optional[Union[int, float, str]]:
    """The number in the bytes of one element; None for a type of which no number is said."""
    if dtype is torch.bfloat16:
        return number(struct.unpack("<f", b"\0\0" + raw)[0])
    form = _SCALARS.get(dtype)
    if form is None:
        return None
    unpacked = struct.unpack(form, raw)[0]
    return number(unpacked) if isinstance(unpacked, float) else int(unpacked)


def has_number(dtype: Any) -> bool:
    """Whether `decoded` knows this type."""
    return dtype is torch.bfloat16 or dtype in _SCALARS


def as_number(value: Any) -> Optional[Union[float, str]]:
    """A float for a frame, from a number or a tensor of one element; None where there is none."""
    if isinstance(value, (int, float)):
        return number(value)
    found = scalar(value)
    return number(found) if isinstance(found, int) else found


def described(value: Any) -> Any:
    """A value of the user for a frame; tensors become numbers where they can be read, else their shape."""
    return plain(value, _tensor)


def _tensor(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return None
    found = scalar(value)
    if found is not None:
        return found
    return text("tensor %s %s %s" % (value.dtype, list(value.shape), value.device), 200)


def leaves_in(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Whatever nested lists, tuples and dictionaries hold that is none of those, with its path, in order."""
    if depth < MAX_DEPTH and isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from leaves_in(item, path + "/" + str(position), depth + 1)
    elif depth < MAX_DEPTH and isinstance(value, dict):
        for key, item in value.items():
            yield from leaves_in(item, path + "/" + str(key), depth + 1)
    else:
        yield path, value


def tensors_in(value: Any) -> Iterator[tuple[str, Any]]:
    """Every tensor in nested lists, tuples and dictionaries, with its path, in order."""
    return ((path, leaf) for path, leaf in leaves_in(value) if isinstance(leaf, torch.Tensor))
