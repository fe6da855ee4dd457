"""How the data check puts what it found: neutral, the innocent causes with it."""

from __future__ import annotations

from functools import partial
from typing import Final

from saksi.judgement.checks.data_content import Changed
from saksi.judgement.checks.data_epoch import Apart, Unjudged
from saksi.judgement.checks.data_resumed import Again
from saksi.judgement.checks.data_source import Another
from saksi.judgement.checks.fold import observation
from saksi.judgement.checks.spoken import Spoken
from saksi.words.findings import Finding, Severity

__all__ = [
    "CHECK_NAME",
    "another_source",
    "begun_again",
    "changed_content",
    "changed_samples",
    "not_judged",
    "set_apart",
    "set_apart_in_words",
]

CHECK_NAME: Final = "data"
TESTED: Final = ((2, 0), (2, 13))
"""The oldest and the newest torch whose order is known to be the one that is worked out here."""
MAX_VERSION: Final = 40
CAUSES: Final = (
    "A sampler or a function of torch that was patched and an edited torch look the same, whatever they are for; the "
    "inventory of live code tells which code ran."
)
CHANGES: Final = "Torch's sampler does this of a dataset whose length changes while it is used."
_finding = partial(observation, check=CHECK_NAME)


def set_apart_in_words(apart: Apart, version: str) -> str:
    """What was found, and what would explain it."""
    if apart.torch_does:
        return f"{apart.what} {CHANGES}"
    if _weight(apart, version) == "info":
        return f"{apart.what} The order that torch {version[:MAX_VERSION]} makes is not known here."
    return f"{apart.what} {CAUSES}"


def set_apart(apart: Apart, words: str, loader: str, said: Spoken, step: int | None) -> Finding:
    """Samples that are not as the sampler makes them."""
    return _finding(
        code=apart.code, severity=_weight(apart, said.hello.torch), subject=loader, message=words,
        steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


def changed_content(loader: str, changed: Changed) -> Finding:
    """Other values under the same ids."""
    what = (
        "A batch holds other values than before under the same ids, while others around it stood still."
        if changed.alone
        else "Batches hold other values than before under the same ids, from one of them on."
    )
    causes = (
        "Augmentation that begins later, labels that a program works out anew and a file edited on purpose do this."
    )
    return _finding(
        code="data.content_changed", severity="warning" if changed.alone else "info", subject=loader,
        message=f"{what} {causes}",
        steps=(changed.step, changed.step), ranks=(changed.rank,), evidence=(changed.entry,),
    )  # fmt: skip


def changed_samples(loader: str, said: Spoken, step: int | None) -> Finding:
    """Other values of single samples, while others have the same."""
    message = (
        "Samples come with other values than before under the same ids, where others had come as they were until then. "
        "Augmentation of a few, labels that a program works out anew and a file edited on purpose do this."
    )
    return _finding(
        code="data.content_changed", severity="info", subject=loader, message=message,
        steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


def begun_again(loader: str, again: Again, said: Spoken, step: int, severity: Severity) -> Finding:
    """An epoch of the attempt before, from its start."""
    message = (
        f"The samples come in the order of the epoch that began at step {again.began} of the attempt before, from its "
        f"start, though this attempt goes on from step {again.saved}: they are trained on again. A program that does "
        "not save how far its sampler was does this."
    )
    if severity != "info":
        message += " Each is planned once in an epoch."
    return _finding(
        code="data.epoch_repeated", severity=severity, subject=loader, message=message,
        steps=(step, step), ranks=(said.rank,), evidence=(again.entry, said.entry),
    )  # fmt: skip


def another_source(another: Another, said: Spoken, step: int | None) -> Finding:
    """Trained on what nothing had been trained on before."""
    message = (
        f"What is trained on comes from {another.now}, and came from {another.before} before. A curriculum, inputs "
        "that grow and a part of the data for each phase do this."
    )
    return _finding(
        code="data.source_changed", severity="info", subject=f"loader {another.loader}: another dataset or sampler",
        message=message, steps=(step, step), ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


def not_judged(loader: str, why: Unjudged, said: Spoken) -> Finding:
    """What the check does not say, and why."""
    what = (
        "Its order is not worked out" if why.ordered else "Whether each sample comes once, in its order, is not judged"
    )
    return _finding(
        code="data.not_checkable" if why.owed else "data.not_recomputed", severity="info", subject=loader,
        message=f"{what}: {why.why}.", ranks=(said.rank,), evidence=(said.entry,),
    )  # fmt: skip


def _weight(apart: Apart, version: str) -> Severity:
    is_known = apart.code != "data.order_differs" or _is_tested(version)
    return "warning" if is_known and not apart.torch_does else "info"


def _is_tested(version: str) -> bool:
    oldest, newest = TESTED
    parts = version[:MAX_VERSION].split(".")[: len(oldest)]
    return all(map(str.isdecimal, parts)) and oldest <= tuple(map(int, parts)) <= newest
