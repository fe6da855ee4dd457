"""What a model checkpoint holds beside the state that records bind: other tensors where all of that is the same.

Rules: only tensors in torch's zip are compared, by checksum and whatever their order; with other sizes, or in another
number, they may be laid out otherwise and hold the same; what the same command saves otherwise from one time to the
next says nothing. Numbers are not compared: how they are pickled depends on which of them are one object.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from saksi.judgement.doctor.ingredients import ingredient
from saksi.judgement.doctor.launched import Launch
from saksi.judgement.doctor.notes import Saved
from saksi.judgement.doctor.values import Ingredient, Seen

__all__ = ["saved_otherwise"]

_TENSORS = "data/"


def saved_otherwise(first: Launch, second: Launch, resumed: Launch, step: int) -> Iterator[Ingredient]:
    """The first save after Step `step` that the resume made otherwise, where the same command saves alike."""
    one, other, later = (dict(_saves(each)) for each in (first, second, resumed))
    common = [key for key in one if key in other]
    if not common or any(one[key] != other[key] for key in common):
        return
    for at, name in sorted(later):
        before, now = one.get((at + step + 1, name)), later[at, name]
        if at < 0 or before is None or before == now or _sizes(before) != _sizes(now):
            continue
        apart = sum((before - now).values())
        saved = f"the model checkpoint saved after step {at + step + 1}"
        sentence = (
            f"{apart} of {before.total()} tensors in {saved} are others, from equal parameters and optimizer state"
        )
        seen = Seen(
            rank=first.rank,
            step=at + step + 1,
            field="tensors of the model checkpoint",
            expected=[f"{crc:08x}" for crc, _ in sorted(before - now)][:4],
            found=[f"{crc:08x}" for crc, _ in sorted(now - before)][:4],
        )
        yield ingredient("other_state", "resume", sentence, seen)
        return


def _sizes(members: Counter[tuple[int, int]]) -> list[int]:
    return sorted(size for _, size in members.elements())


def _saves(launch: Launch) -> Iterator[tuple[tuple[int, str], Counter[tuple[int, int]]]]:
    """Checksum and size of each tensor, by the Step and the name of the file."""
    for note in launch.notes_of(launch.rank):
        if isinstance(note, Saved) and note.members:
            tensors = Counter((crc, size) for name, crc, size in note.members if name.startswith(_TENSORS))
            yield (note.step, (note.path or "").rpartition("/")[2]), tensors
