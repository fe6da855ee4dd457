"""What a model checkpoint holds beside the state that records bind: another content where all of that is the same.

Rules: only members of torch's zip are compared, by checksum; what the same command saves otherwise from one time to the
next (a time of day) says nothing. Other tensors count; other numbers (a history, a best metric) are worth a look.
"""

from __future__ import annotations

from collections.abc import Iterator

from saksi.judgement.doctor.ingredients import ingredient
from saksi.judgement.doctor.launched import Launch
from saksi.judgement.doctor.notes import Saved
from saksi.judgement.doctor.values import Ingredient, Seen

__all__ = ["saved_otherwise"]

_TENSORS = "data/"
_OF_ITSELF = ".data/serialization_id"
"""Made of the others' checksums."""


def saved_otherwise(first: Launch, second: Launch, resumed: Launch, step: int) -> Iterator[Ingredient]:
    """The first save after Step `step` that the resume made otherwise, where the same command saves alike."""
    one, other, later = (dict(_saves(each)) for each in (first, second, resumed))
    common = [key for key in one if key in other]
    if not common or any(one[key] != other[key] for key in common):
        return
    for at, name in sorted(later):
        before = one.get((at + step + 1, name))
        if at < 0 or before is None or before == later[at, name]:
            continue
        apart = [each for each in {**before, **later[at, name]} if before.get(each) != later[at, name].get(each)]
        tensors = [each for each in apart if each.startswith(_TENSORS)]
        what = f"{len(tensors)} of its tensors are" if tensors else "numbers in it are"
        where = (
            f"the model checkpoint saved after step {at + step + 1} is another one: {what} other than without a stop"
        )
        seen = Seen(
            rank=first.rank, step=at + step + 1, field="model checkpoint", expected=None, found=", ".join(apart[:4])
        )
        yield ingredient(
            "other_state", "resume", f"{where}, from equal parameters and optimizer state", seen, missing=bool(tensors)
        )
        return


def _saves(launch: Launch) -> Iterator[tuple[tuple[int, str], dict[str, int]]]:
    for note in launch.notes_of(launch.rank):
        if isinstance(note, Saved) and note.members:
            yield (
                (note.step, (note.path or "").rpartition("/")[2]),
                {name: crc for name, crc, _ in note.members if name != _OF_ITSELF},
            )
