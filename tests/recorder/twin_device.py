"""A device that is none: chosen tensors in the CPU's memory count as lying on it, and its clock stands in our hand.

What is asked of it is done in the order in which it was asked, as on one stream. A copy to the host takes what is there
as it is asked for, and lands only when its event passes; until then the host finds rubbish. Whoever reads too early,
uses memory again too early, or asks too late, gets other bytes than the CPU path. Memory of the "device" that the host
looks at directly is refused.

It runs in the training process, and so imports the recorder as it lies there.
"""

from __future__ import annotations

import torch
from saksi_recorder import device, memory

KIND = "twin"
RUBBISH = 0xA5
NEVER = 10**9


class Event:
    """Passes when it has been asked `patience` times."""

    def __init__(self, twin: Twin, copies: list, patience: int) -> None:
        self.twin, self.copies, self.patience = twin, copies, patience

    def query(self) -> bool:
        self.twin.queries += 1
        assert not self.twin.capturing, "asked while a graph is captured"
        if self.twin.broken:
            raise RuntimeError("the twin has failed")
        self.patience -= 1
        if self.patience > 0:
            return False
        for target, found in self.copies:
            target.copy_(found)
        self.copies = []
        return True


class Twin:
    """`patience(number)` says how often the number-th event is asked before it has passed."""

    def __init__(self, patience=lambda _: 1, *, devices: int = 1, scalars: bool = True) -> None:
        self.kind = KIND
        self.patience, self.devices, self.scalars = patience, devices, scalars
        self.capturing = self.full = self.broken = False
        self.queries = self.marks = self.pinned_bytes = self.requests = 0
        self.host: set[int] = set()
        self._copies: dict[int, list] = {}
        self._hold = memory.hold

    def install(self) -> Twin:
        memory.lies_here, memory.where, memory.hold = self.lies_here, self.where, self.hold
        device._known[KIND] = self
        return self

    def lies_here(self, tensor) -> bool:
        if not tensor.is_floating_point() or (tensor.dim() == 0 and not self.scalars):
            return True
        return tensor.untyped_storage().data_ptr() in self.host

    def where(self, tensor):
        return (KIND, tensor.numel() % self.devices) if not self.lies_here(tensor) else ("cpu", 0)

    def hold(self, tensor):
        assert self.lies_here(tensor), "the host looks at the device's memory"
        return self._hold(tensor)

    def not_now(self, index):
        return "a graph was being captured" if self.capturing else None

    def count(self):
        return self.devices

    def pinned(self, nbytes):
        found = torch.full((nbytes,), RUBBISH, dtype=torch.uint8)
        self.host.add(found.data_ptr())
        self.pinned_bytes += nbytes
        return found

    def empty(self, index, count):
        assert not self.capturing
        self.requests += 1
        if self.full:
            raise torch.OutOfMemoryError("twin out of memory")
        return torch.full((count,), -6510615555426900571, dtype=torch.int64)  # what lies there is not zero

    def to_host(self, target, source):
        assert not self.capturing
        assert target.untyped_storage().data_ptr() in self.host
        assert len(target) == len(source)
        assert target.dtype == source.dtype == torch.uint8
        self._copies.setdefault(0, []).append((target, source.clone()))
        target.fill_(RUBBISH)

    def to_device(self, index, source):
        assert source.untyped_storage().data_ptr() in self.host
        return source.clone()

    def mark(self, index):
        copies, self._copies = self._copies.pop(0, []), {}
        self.marks += 1
        return Event(self, copies, self.patience(self.marks))

    def outlive(self, index, value):
        assert not self.lies_here(value)
