"""The doctor's answer: from the launches of one command to the ingredients that are missing, and one sentence.

Rules: an observation is never more than what two records show; a resume is held against the launch that went on, or,
where the command does not do the same twice, against the very launch that was killed; what could not be looked at is
said, and is never a yes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from saksi.judgement.continuation.compare import Link, compare_continuation, link_of
from saksi.judgement.doctor.ingredients import ingredient
from saksi.judgement.doctor.launched import Launch
from saksi.judgement.doctor.other_state import saved_otherwise
from saksi.judgement.doctor.parting import Parting, part
from saksi.judgement.doctor.repeat import not_repeated, where
from saksi.judgement.doctor.resume import Seam, not_restored
from saksi.judgement.doctor.values import Code, Doctor, DoctorSteps, DoctorVerdict, Ingredient, NotCheckable, Threads
from saksi.judgement.redaction import redact_command

__all__ = ["Launches", "doctor_of", "save_to_resume"]

_NAMED: Final = 3


class Launches(NamedTuple):
    """Launches of one command: from the start, again until it was killed, what resumed it, with other threads.

    `reasons` are why one that should be there is not.
    """

    command: tuple[str, ...]
    resumed_with: tuple[str, ...]
    first: Launch
    killed: Launch | None = None
    resumed: Launch | None = None
    threaded: Launch | None = None
    reasons: tuple[str, ...] = ()


def save_to_resume(launch: Launch) -> tuple[int, str] | None:
    """The Step and the path of the last model checkpoint that a launch saved; `None` if there is none with a path."""
    places = ((each.step, launch.place_of(each)) for each in launch.saves)
    return max(((step, path) for step, path in places if path is not None), key=lambda each: each[0], default=None)


def doctor_of(launches: Launches) -> Doctor:
    """The whole answer. Raises what reading the records raises."""
    again = None if launches.killed is None else part(launches.first.courses, launches.killed.courses, 0)
    repeats = None if again is None or not (again.compared or again.fields) else not again.fields
    found: list[Ingredient] = []
    if again is not None and launches.killed is not None:
        found += not_repeated(launches.first, launches.killed, again)
    seam, reasons = _seam(launches, repeats=repeats is not False)
    continues: bool | None = None
    if seam is not None:
        missing = _without_what_follows(not_restored(seam), found)
        found += missing
        continues, why = _continues(seam, missing)
        reasons += why
        if continues and launches.killed is not None and launches.resumed is not None:
            found += saved_otherwise(launches.first, launches.killed, launches.resumed, seam.continuation.step)
            continues = not any(each.missing and each.phase == "resume" for each in found)
    threads, condition = _threads(launches) if repeats else (None, ())
    found += condition
    answer = Doctor(
        command=redact_command(launches.command),
        resumed_with=redact_command(launches.resumed_with),
        verdict=_verdict(found, continues),
        sentence="",
        repeats=repeats,
        continues=continues,
        steps=_steps(launches, seam),
        threads=threads,
        ingredients=tuple(found),
        parts=() if seam is None else seam.continuation.parts,
        not_checkable=tuple(_not_checkable(launches)),
        reasons=reasons,
    )
    return msgspec.structs.replace(answer, sentence=_sentence(answer, again))


def _without_what_follows(missing: tuple[Ingredient, ...], repeat: list[Ingredient]) -> tuple[Ingredient, ...]:
    """What a resume lacks beside what is not the same twice anyway."""
    codes = {each.code for each in repeat}
    follows: set[Code] = {"data_position"} if "sample_order" in codes else set()
    follows |= {"augmentation", "worker_rng"} if "augmentation" in codes else set()
    return tuple(each for each in missing if each.code not in follows)


def _seam(launches: Launches, *, repeats: bool) -> tuple[Seam | None, tuple[str, ...]]:
    killed, resumed = launches.killed, launches.resumed
    if killed is None or resumed is None:
        return None, launches.reasons
    link = link_of(killed.story, resumed.story, run_a=killed.run, run_b=resumed.run) or _link_of_path(killed, resumed)
    if link is None:
        return None, (*launches.reasons, _not_linked(killed, resumed))
    first = launches.first if repeats else killed
    group = next((each for each in first.story.groups if each.number == link.earlier.number), None)
    if group is None or not resumed.courses:
        return None, (*launches.reasons, "the launch that resumed made no step")
    seam_link = Link(link.load, link.step, group, link.later)
    continuation = compare_continuation(seam_link, first.read, resumed.read)
    parting = part(first.courses, resumed.courses, link.step + 1)
    return Seam(first, resumed, continuation, parting, repeats), launches.reasons


def _link_of_path(killed: Launch, resumed: Launch) -> Link | None:
    """A load, of bytes that nobody knows, from where the launch that was killed had saved last.

    Nobody else can have written there meanwhile.
    """
    before, after = ({each.number: each for each in launch.story.groups} for launch in (killed, resumed))
    for load in resumed.story.files:
        saves = [each for each in killed.saves if load.path is not None and killed.place_of(each) == load.path]
        save = max(saves, key=lambda each: each.step, default=None)
        if load.action != "loaded" or load.step >= 0 or save is None or (load.digest and save.digest):
            continue
        if load.group in after and save.group in before:
            return Link(load, save.step, before[save.group], after[load.group])
    return None


def _not_linked(killed: Launch, resumed: Launch) -> str:
    loads = [each for each in resumed.story.files if each.action == "loaded" and each.step < 0]
    if not resumed.courses:
        return f"the launch that resumed made no step: {resumed.ending}"
    if not loads:
        return "the launch that resumed loaded no file with torch: say how it resumes, with --resume-with"
    if not killed.saves:
        return "nothing that could be resumed from was saved"
    return "the launch that resumed loaded a file, but none that was saved before the kill"


def _continues(seam: Seam, missing: tuple[Ingredient, ...]) -> tuple[bool | None, tuple[str, ...]]:
    if missing:
        return False, ()
    if seam.parting.fields:
        return None, (f"the program is not the same twice, which may explain that {where(seam.parting.fields[0])}",)
    if not seam.parting.compared:
        return None, ("no step after the model checkpoint is in both records",)
    if not seam.parting.whole:
        return None, ("the state after some steps is not in both records",)
    return True, ()


def _threads(launches: Launches) -> tuple[Threads | None, tuple[Ingredient, ...]]:
    if launches.threaded is None:
        return None, ()
    first, other = (each.began(each.rank) for each in (launches.first, launches.threaded))
    if first is None or other is None:
        return None, ()
    if first.threads == other.threads:
        return Threads(first=first.threads, other=other.threads, same=None), ()
    parting = part(launches.first.courses, launches.threaded.courses, 0)
    if not parting.fields:
        same = True if parting.compared else None
        return Threads(first=first.threads, other=other.threads, same=same), ()
    lead = parting.fields[0]
    sentence = f"with {other.threads} in the place of {first.threads}: {where(lead)}"
    found = ingredient("threads", "threads", sentence, lead, missing=False)
    return Threads(first=first.threads, other=other.threads, same=False), (found,)


def _steps(launches: Launches, seam: Seam | None) -> DoctorSteps:
    return DoctorSteps(
        recorded=launches.first.steps,
        saved_after=None if seam is None else seam.continuation.step,
        killed_after=None if launches.killed is None else launches.killed.steps,
        resumed=None if launches.resumed is None else launches.resumed.steps,
        compared=0 if seam is None else seam.parting.compared,
    )


def _verdict(found: list[Ingredient], continues: bool | None) -> DoctorVerdict:  # noqa: FBT001 - three values
    if any(each.missing for each in found):
        return "missing"
    return "continues" if continues else "unknown"


def _sentence(found: Doctor, again: Parting | None) -> str:
    """The answer in a sentence: yes, no and what is missing, or why that is not known."""
    if found.verdict == "unknown":
        return f"Not known: {found.reasons[0]}." if found.reasons else "Not known: nothing could be compared."
    steps = found.steps
    after = "the start" if steps.saved_after is None or steps.saved_after < 0 else f"step {steps.saved_after}"
    if found.verdict == "continues":
        many = "1 step" if steps.compared == 1 else f"{steps.compared} steps"
        twice = "" if again is None or again.fields else f"; the same command did {again.compared} steps twice alike"
        return f"Yes, it continues: resumed after {after}, it did {many} bit for bit as the run that went on{twice}."
    names = list(dict.fromkeys(each.code.replace("_", " ") for each in found.ingredients if each.missing))
    what = f"{', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
    if found.continues is False:
        return f"No, it does not continue after {after}: {what}."
    return f"The program is not the same twice: {what}{', but a resume continues' if found.continues else ''}."


def _not_checkable(launches: Launches) -> list[NotCheckable]:
    began = launches.first.began(launches.first.rank)
    found = [
        NotCheckable(
            what="generators of devices, TF32, cuDNN and attention kernels, FP8 scaling, NCCL",
            reason="state on devices is not read",
        ),
        NotCheckable(what="another machine, another torch, another CPU", reason="everything ran here"),
    ]
    if began is not None and began.world_size == 1:
        found.append(NotCheckable(what="gradient buckets of DDP", reason="the command has one rank"))
    if began is not None and not began.compiled:
        found.append(NotCheckable(what="compiled kernels", reason="the model is not compiled"))
    return found
