"""Where a record was made, and whether a difference between it and a replay may come of another machine.

Rules: results may depend on the machine in more ways than arithmetic, since programs ask how many processors there are.
So no difference, of whatever stage, proves anything on a machine that is not known to be of the same kind.

Known weakness: the seal is of the machine that launched; ranks on other nodes may have other processors.
"""

from __future__ import annotations

from typing import Final

import msgspec

from saksi.judgement.machines import Machine, machine_of, other_machine
from saksi.judgement.seal import Hardware
from saksi.words.frames import HelloFrame

__all__ = ["NOWHERE", "Place", "PlaceSeen", "other_place"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What the seal of an attempt says of its machine; `None` where the seal is not at hand, or does not say.

    `cores` are the processors that the run could use, `processors` those that the machine has. `threads` is how many
    torch had, as it was loaded, in every process that made Steps; `None` where that is not one number, or not known.
    `given`: it had others there than the machine would have given it.
    """

    machine: Machine | None
    cores: int | None
    processors: int | None
    threads: int | None
    given: bool


NOWHERE: Final = Place(machine=None, cores=None, processors=None, threads=None, given=False)


class PlaceSeen:
    """A place, as a record of one attempt is read."""

    def __init__(self) -> None:
        self._hardware: Hardware | None = None
        self._hellos: dict[int, HelloFrame] = {}
        self._threads: set[int | None] = set()
        self._given = False

    def seal(self, hardware: Hardware) -> None:
        """The seal of the attempt; the first counts."""
        self._hardware = self._hardware or hardware

    def hello(self, connection: int, hello: HelloFrame) -> None:
        """A process said where it is."""
        self._hellos[connection] = hello

    def trains(self, connection: int) -> None:
        """A process made a Step. A forked one says what the program had set by then."""
        hello = self._hellos.get(connection)
        self._threads.add(None if hello is None or hello.forked else hello.threads)
        self._given |= hello is not None and "threads_here" in hello.flags

    def place(self) -> Place:
        """What was seen."""
        hardware = self._hardware
        (threads,) = self._threads if len(self._threads) == 1 else (None,)
        if hardware is None:
            return msgspec.structs.replace(NOWHERE, threads=threads, given=self._given)
        processors = hardware.processors
        return Place(
            machine=machine_of(hardware),
            cores=hardware.cores,
            processors=None if isinstance(processors, msgspec.UnsetType) else processors,
            threads=threads,
            given=self._given,
        )


def other_place(was: Place, now: Place) -> str | None:
    """Why a difference may come of another machine; `None` where both are of one kind, as far as they say."""
    if was.machine is None or now.machine is None:
        if was.machine is now.machine:
            return None
        return "of the run or of its replay it is not known on which machine it was"
    other = other_machine(was.machine, now.machine)
    if other is not None:
        return f"the replay had {other}: the arithmetic of another machine may make the difference"
    if was.machine.features is None or now.machine.features is None:
        return "the record does not say of which kind the CPU was: the arithmetic of another may make the difference"
    if was.cores != now.cores:
        return f"the run could use {was.cores} processors and the replay {now.cores}, which may make the difference"
    if None not in (was.processors, now.processors) and was.processors != now.processors:
        return (
            f"the machine of the run had {was.processors} processors and this one has {now.processors}, which may make "
            "the difference"
        )
    return None
