"""What to run next for a finding: one table, by the longest prefix of its code. Pure.

Rules: only commands that exist; every code has a step; a word in capitals is the reader's to fill in, since nobody else
knows which run or file they trust. The step looks further: it never says what the answer will be.
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["NEXT_STEPS", "NextStep", "next_step"]


class NextStep(NamedTuple):
    """A command, and what it answers."""

    command: str
    answers: str


NEXT_STEPS: Final[dict[str, NextStep]] = {
    "agreement.": NextStep("saksi show {run}", "whether a rank was started again, loaded something, or lost records"),
    "agreement.gradient_not_": NextStep("saksi env verify --python EXE", "whether what exchanges them was changed"),
    "agreement.ranks_weighed": NextStep("saksi env verify --python EXE", "whether what exchanges them was changed"),
    "availability.": NextStep("saksi show {run}", "how each attempt and rank ended, and what came before"),
    "availability.update_overran": NextStep(
        "saksi show {run}", "the times of all updates, and what happened beside them"
    ),
    "ckpt.": NextStep("saksi verify FILE", "which run and step made the file, and whether it is unchanged"),
    "ckpt.executes": NextStep("saksi show {run}", "when and by whom the file was saved and loaded"),
    "ckpt.rolled_back": NextStep("saksi show {run}", "what each attempt saved, loaded and went on from"),
    "ckpt.state_differs": NextStep("saksi show {run}", "what each attempt saved, loaded and went on from"),
    "coverage.": NextStep("saksi show {run}", "which attempts and ranks were heard, and until when"),
    "coverage.block_absent": NextStep("saksi fsck {run}", "whether the run's folder is whole"),
    "coverage.no_exit_record": NextStep("saksi fsck {run}", "whether the log was cut off or never closed"),
    "data.": NextStep("saksi diff BASELINE {run}", "the first batch that is not as in a run that you trust"),
    "data.epoch_repeated": NextStep("saksi show {run}", "what each attempt loaded and went on from"),
    "data.update_size_changed": NextStep(
        "saksi show {run}", "how each attempt began and ended, and with how many ranks"
    ),
    "dynamics.": NextStep("saksi show {run}", "loss and step time over the run, and what happened beside it"),
    "environment.": NextStep("saksi env verify --python EXE", "which files are not as their installer left them"),
    "environment.import_shadowed": NextStep("saksi env doors --python EXE", "where modules are looked for, in order"),
    "environment.object_foreign": NextStep("saksi env doors --python EXE", "what loads shared objects at start-up"),
    "environment.variable_differs": NextStep("saksi env doors --python EXE", "what the variable lets in"),
    "gradient.": NextStep("saksi env verify --python EXE", "whether clipping or autograd was changed on the disk"),
    "live.": NextStep("saksi env verify --python EXE", "whether the files on the disk were changed too"),
    "live.flag_changed": NextStep("saksi diff BASELINE {run}", "whether a run that you trust has the same flag"),
    "live.hook_added": NextStep("saksi env doors --python EXE", "what enters the process without being asked for"),
    "live.limit_changed": NextStep("saksi show {run}", "which processes there were, and how the job went on"),
    "live.stream_changed": NextStep("saksi show {run}", "what happened from that step on, beside what was printed"),
    "metrics.": NextStep("saksi show {run}", "the losses as they were witnessed, to lay beside the tracker's curve"),
    "optimizer.": NextStep("saksi diff BASELINE {run}", "the first update that is not as in a run that you trust"),
    "plan.": NextStep("saksi diff BASELINE {run}", "whether the schedule of a run that you trust says the same"),
    "plan.report_differs": NextStep("saksi show {run}", "the losses as they were witnessed, to lay beside the reports"),
    "randomness.": NextStep("saksi diff BASELINE {run}", "whether a run that you trust draws the same"),
    "rehearsal.": NextStep("saksi seal diff SEAL {run}", "what else of the launch is not as it was rehearsed"),
    "seal.": NextStep("saksi seal diff SEAL {run}", "everything in which the launch is not as the file says"),
    "seal.not_approved": NextStep("saksi seal show SEAL", "what would be approved, and who signed it"),
    "seal.signature_unknown": NextStep("saksi keys list", "whose signatures count here"),
    "state.": NextStep("saksi diff BASELINE {run}", "the first step that is not as in a run that you trust"),
    "state.average_": NextStep("saksi show {run}", "what was saved, loaded or said of the live code about that step"),
    "state.untrained_changed": NextStep("saksi show {run}", "what was saved, loaded or said about that step"),
    "witness.": NextStep("saksi verify {run}", "whether the record is whole, signed and unchanged"),
    "witness.clock_differs": NextStep("saksi show {run}", "what else happened from that step on"),
    "witness.connection_closed": NextStep("saksi show {run}", "what else happened from that step on"),
    "witness.hooks_cleared": NextStep("saksi show {run}", "which steps are not in the record"),
    "witness.recorder_fault": NextStep("saksi show {run}", "from which step on the recorder was heard less of"),
}
"""By prefix; the longest one that begins a code is meant."""

_ANY: Final = NextStep("saksi show {run}", "what happened in the run")
"""For a code of another version: a recorded finding stands, whoever wrote it."""


def next_step(code: str, run: str) -> NextStep:
    """What to run next for a finding with this code, in the run with this id."""
    fitting = [prefix for prefix in NEXT_STEPS if code.startswith(prefix)]
    found = NEXT_STEPS[max(fitting, key=len)] if fitting else _ANY
    return found._replace(command=found.command.replace("{run}", run))
