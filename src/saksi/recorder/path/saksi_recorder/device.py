"""Devices other than the CPU: all that the recorder asks of one, in one place.

Rules: the host never waits (only `query` is asked, and of an event of ours); work is put on the stream that is current
in the thread of the hook, so that it comes after what the program has asked for and before what it will ask for,
whether or not we see who writes; nothing is asked for, not even `query`, while that stream is captured into a graph,
which would end the capture; no memory on the device outlives the hook that took it, and it is taken and let go on the
one stream; memory of the host that a device writes to is never freed, since a copy may still be under way.

Why there is no side stream: it would have to be waited for by the next writer, and not every writer is seen. Buffers
change in the next forward pass, weights are clipped by hand or through `.data`. In order on the current stream a copy
is right without knowing them; what it costs is the time of the copy.

What a kind of device must have for that is in `NEEDED`; one that lacks any of it is not covered, with that reason.
Known weakness: a capture in another thread than that of the hook is not noticed.
"""

from __future__ import annotations

import ctypes
from typing import Any, Optional, Union

import torch

from . import memory

NEEDED = ("Event", "current_stream", "device", "is_current_stream_capturing")
MAX_COPY_BYTES = 64 * 1024 * 1024  # of a tensor that does not lie in C order: it is put in order on the device

_known: dict[str, Union[str, "Accelerator"]] = {}


class Accelerator:
    """One kind of device, through torch's module for it. Nothing here waits for the device."""

    def __init__(self, kind: str, module: Any) -> None:
        self.kind = kind
        self._module = module

    def not_now(self, index: int) -> Optional[str]:
        """Why nothing may be asked of this device at this moment, in this thread; None if it may."""
        bad_fork = getattr(self._module, "_is_in_bad_fork", None)
        if bad_fork is not None and bad_fork():
            return "this process was forked after the device had been used"
        with self._module.device(index):
            if self._module.is_current_stream_capturing():
                return "a graph was being captured"
        return None

    def count(self) -> int:
        """How many devices of this kind the process sees; 0 if that cannot be told."""
        told = getattr(self._module, "device_count", None)
        return int(told()) if told is not None else 0

    def pinned(self, nbytes: int) -> Any:
        """Page-locked bytes on the host, for good."""
        with torch.inference_mode(False):  # a tensor made in that mode could not be copied to outside of it
            found = torch.empty(nbytes, dtype=torch.uint8, device="cpu", pin_memory=True)
        # Never freed, not even as the interpreter ends: the device may write there, and a thread of ours may read.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(found))
        return found

    def empty(self, index: int, count: int) -> Any:
        """So many 64-bit integers on the device, of the current stream."""
        with torch.inference_mode(False):
            return torch.empty(count, dtype=torch.int64, device=torch.device(self.kind, index))

    def to_host(self, target: Any, source: Any) -> None:
        """Copy to pinned memory, in order; it is there once a later `mark` has passed."""
        target.copy_(source, non_blocking=True)

    def to_device(self, index: int, source: Any) -> Any:
        """A copy of pinned 64-bit integers on the device, in order."""
        return self.empty(index, len(source)).copy_(source, non_blocking=True)

    def mark(self, index: int) -> Any:
        """An event behind everything asked for so far; `query` says whether the device has passed it."""
        event = self._module.Event()
        event.record(self._module.current_stream(index))
        return event

    def outlive(self, index: int, value: Any) -> None:
        """Its memory is not given to others before what has been asked for on the current stream is done."""
        value.record_stream(self._module.current_stream(index))


def of(kind: str) -> Union[str, Accelerator]:
    """The accelerator of that kind, or why there is none that could be asked without waiting."""
    known = _known.get(kind)
    if known is None:
        module = getattr(torch, kind, None)
        lacking = [name for name in NEEDED if not hasattr(module, name)]
        if module is None or lacking:
            names = "torch.%s" % kind if module is None else ", ".join("torch.%s.%s" % (kind, n) for n in lacking)
            known = "not read: this torch has no %s, without which nothing can be read there unnoticed" % names
        else:
            known = Accelerator(kind, module)
        _known[kind] = known
    return known


def why_not(value: Any) -> Optional[tuple[str, str]]:
    """What kind of tensor on a device is not read, and why; None if it is."""
    kind, _ = memory.where(value)
    found = of(kind)
    if isinstance(found, str):
        return "tensors on " + kind, found
    memory.reached.add(kind)
    if not is_in_order(value) and value.numel() * value.element_size() > MAX_COPY_BYTES:
        return "large tensors on %s that do not lie in C order" % kind, "not read: they would be copied there first"
    return None


def is_in_order(value: Any) -> bool:
    """Whether a tensor's bytes lie in C order, as they are."""
    return bool(value.is_contiguous()) and not value.is_conj() and not value.is_neg()


def put_in_order(accelerator: Accelerator, index: int, value: Any) -> Any:
    """The bytes of a tensor in C order, copied on the device; what is behind them in the last word is not set."""
    nbytes = value.numel() * value.element_size()
    raw = accelerator.empty(index, -(-nbytes // 8)).view(torch.uint8)[:nbytes]
    raw.view(value.dtype).view(value.shape).copy_(value.data)
    return raw


def bytes_of(accelerator: Accelerator, index: int, value: Any) -> Any:
    """The bytes of a tensor in C order: its own memory if it lies so. `.data` has no part in graphs and versions."""
    if not is_in_order(value):
        return put_in_order(accelerator, index, value)
    return value.data.view(-1).view(torch.uint8)


def install() -> None:
    """From now on tensors on devices are within reach."""
    memory.elsewhere[:] = [why_not]


def restore() -> None:
    """Only the CPU's memory is."""
    memory.elsewhere.clear()
    memory.reached.clear()
