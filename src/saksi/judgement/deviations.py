"""In what a launch is not as its seal file says, and which of that matters.

Rules:

- Every difference between the two has one of four weights: it *matters*, it is *told*, it could not be compared
  (*unknown*), or it says nothing (*nothing*). What is on no list matters.
- Told and no more is what another node, login or scheduler changes by itself, each with its reason here, and what git
  does not track and no interpreter would execute: a run writes its output there, and is launched again.
- What neither side knows is equal and yet not compared: it is unknown too, so that a seal that looked at nothing
  approves of nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from saksi.judgement.invocation import is_python_name, read_python_arguments
from saksi.judgement.redaction import REDACTED, reason_to_record
from saksi.judgement.seal import MAX_FILES, MAX_UNTRACKED, Git, Sealed, SealedFile
from saksi.judgement.seal_differences import KEYED, Difference, differences, paths_apart
from saksi.judgement.untracked import is_code, lists_all_code, may_execute

__all__ = ["PLACED", "Deviation", "Weight", "deviations", "not_looked_at", "steers", "weigh"]

Weight = Literal["matters", "told", "unknown", "nothing"]

PLACED: Final[tuple[tuple[str, str], ...]] = (
    ("PATH", "the interpreter that it leads to is compared by itself"),
    ("PWD", "what lies in the folder is compared by itself"),
    ("VIRTUAL_ENV", "interpreter and packages are compared by themselves"),
    ("CONDA_PREFIX", "interpreter and packages are compared by themselves"),
    ("CONDA_DEFAULT_ENV", "interpreter and packages are compared by themselves"),
    ("LANG", "follows whoever logs in"),
    ("LANGUAGE", "follows whoever logs in"),
    ("LC_*", "follows whoever logs in"),
    ("TZ", "follows whoever logs in"),
    ("CUDA_VISIBLE_DEVICES", "is what a scheduler gave this job"),
    ("NVIDIA_VISIBLE_DEVICES", "is what a scheduler gave this job"),
    ("HIP_VISIBLE_DEVICES", "is what a scheduler gave this job"),
    ("ROCR_VISIBLE_DEVICES", "is what a scheduler gave this job"),
    ("SLURM_*", "is what a scheduler gave this job"),
    ("TORCHELASTIC_*", "is another for every launch"),
    ("RANK", "places the process in the job"),
    ("LOCAL_RANK", "places the process in the job"),
    ("GROUP_RANK", "places the process in the job"),
    ("NODE_RANK", "places the process in the job"),
    ("WORLD_SIZE", "places the process in the job"),
    ("LOCAL_WORLD_SIZE", "places the process in the job"),
    ("MASTER_ADDR", "places the process in the job"),
    ("MASTER_PORT", "places the process in the job"),
    ("NCCL_SOCKET_IFNAME", "names this node's network"),
    ("NCCL_IB_HCA", "names this node's network"),
    ("GLOO_SOCKET_IFNAME", "names this node's network"),
    ("UCX_NET_DEVICES", "names this node's network"),
)
"""Variables that are recorded by value and differ between honest launches (`*` stands for any ending)."""

_EXACT: Final = frozenset(name for name, _ in PLACED if not name.endswith("*"))
_PREFIXES: Final = tuple(name[:-1] for name, _ in PLACED if name.endswith("*"))
_TOLD: Final = frozenset({"level", "segment", "git.branch", "workingDirectory"})
_SHORTENED: Final = " characters]"
"""How an argument ends that was too long to be shown: it may be a program (`-c`)."""


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a launch is not as sealed. `subject` names the object: a path, a package, a variable.

    `before` and `after` are the values, where one field has two. `news` is whether it was otherwise when the file was
    made; what was unknown then as well is no news.
    """

    weight: Weight
    field: str
    subject: str
    sentence: str
    before: str | None = None
    after: str | None = None
    news: bool = True


def steers(name: str) -> bool:
    """Whether the variable `name` is one that a launch is held to."""
    return reason_to_record(name) is not None and name not in _EXACT and not name.startswith(_PREFIXES)


def deviations(before: Sealed, after: Sealed, *, each_variable: bool = False) -> tuple[Deviation, ...]:
    """How `after`, a launch, is not as `before`, its seal file, says: what matters first. Empty for an honest relaunch.

    Unless `each_variable`, variables that are told and no more are one deviation, and those of a login are none.
    """
    found = differences(before, after)
    seeds = {each.field.removeprefix("seeds.") for each in found if each.group == "seeds"}
    single: list[Deviation] = []
    variables: list[str] = []
    for each in found:
        name = each.field.removeprefix("environment.")
        weight = weigh(each, before, after)
        if weight == "nothing" or (each.group == "environment" and name in seeds):
            continue
        if each.group == "session" and not each_variable:
            continue
        if weight == "told" and each.field.startswith("environment.") and not each_variable:
            variables.append(name)
        else:
            single.append(
                Deviation(
                    weight=weight,
                    field=each.field,
                    subject=_subject(each, before, after),
                    sentence=each.sentence,
                    before=each.before,
                    after=each.after,
                )
            )
    if variables:
        sentence = f"{len(variables)} variables differ that steer no library known here: {_some(variables)}."
        single.append(Deviation(weight="told", field="environment", subject="environment", sentence=sentence))
    known = {each.field for each in single}
    single += [each for each in _unknown_to_both(before, after) if each.field not in known]
    order = ("matters", "unknown", "told")
    return tuple(sorted(single, key=lambda each: order.index(each.weight)))


def weigh(each: Difference, before: Sealed, after: Sealed) -> Weight:
    """What one difference between a seal file and a launch is worth."""
    group, field = each.group, each.field
    if group in {"session", "hardware"} or field in _TOLD:
        return "told"
    if field == "project":
        return "nothing"
    if group == "environment":
        return _variable(field, before, after)
    if group == "distributions":
        return "nothing" if before.interpreter is None or after.interpreter is None else "matters"
    if group == "interpreter":
        return "unknown" if field == "interpreter" else "matters"
    if group == "git":
        return _git(field, before.git, after.git)
    if group in {"script", "files"}:
        return _file(each, before, after)
    if field.startswith("unobserved."):
        return "unknown"
    return _hidden_argument(after) if field == "command.hmac" else "matters"


def _variable(field: str, before: Sealed, after: Sealed) -> Weight:
    if field == "redactionKey":
        hidden = (
            name
            for name in {*before.environment} & {*after.environment}
            if any(each.environment[name].startswith(KEYED) for each in (before, after))
        )
        return "unknown" if any(map(steers, hidden)) else "told"
    return "matters" if steers(field.removeprefix("environment.")) else "told"


def _hidden_argument(after: Sealed) -> Weight:
    """A secret is another for each user; an argument that is too long to be shown may be a program."""
    shown = after.command.argv
    whole = len(shown) == after.command.total and not any(each.endswith(_SHORTENED) for each in shown)
    return "told" if whole and any(REDACTED in each for each in shown) else "matters"


def _git(field: str, before: Git | None, after: Git | None) -> Weight:
    if before is None or after is None:
        return "unknown"
    if field == "git.commit":
        return "told" if before.tree == after.tree is not None else "matters"
    if field == "git.tree":
        return "unknown" if before.tree is None or after.tree is None else "matters"
    if field == "git.dirtyDigest":
        return "unknown" if before.dirty is None or after.dirty is None else "matters"
    paths = paths_apart(before.untracked, after.untracked)
    if any(may_execute(path, known=path in _paths(before)) for path in paths):
        return "matters"
    if not lists_all_code(before) or not lists_all_code(after):
        return "unknown"
    return "told" if any(not path.endswith(".seal") for path in paths) else "nothing"


def _paths(git: Git) -> set[str]:
    return {each.path for each in git.untracked}


def _file(each: Difference, before: Sealed, after: Sealed) -> Weight:
    was, now = _pair(each, before, after)
    if was is None or now is None:
        blind = any(each.field in side.unobserved for side in (before, after))
        return "unknown" if blind else "matters"
    if was.path != now.path or was.size != now.size:
        return "matters"
    hidden = any(file.digest is not None and file.digest.startswith(KEYED) for file in (was, now))
    if was.digest is None or now.digest is None or (hidden and before.redaction_key != after.redaction_key):
        return "unknown"
    return "matters"


def _pair(each: Difference, before: Sealed, after: Sealed) -> tuple[SealedFile | None, SealedFile | None]:
    if each.group == "script":
        return before.script, after.script
    path = each.field.removeprefix("files.")
    was, now = (next((file for file in side.files if file.path == path), None) for side in (before, after))
    return was, now


def _unknown_to_both(before: Sealed, after: Sealed) -> Iterator[Deviation]:
    """What is the same in both because neither side looked."""
    for field, subject, reason in not_looked_at(after):
        if any(field == other for other, _, _ in not_looked_at(before)):
            yield Deviation(
                weight="unknown",
                field=field,
                subject=subject,
                sentence=f"{subject} was not compared, neither when it was sealed nor now: {reason}.",
                news=False,
            )
    if before.redaction_key != after.redaction_key and any(
        REDACTED in each or each.endswith(_SHORTENED) for each in after.command.argv
    ):
        sentence = "Values of the command line that are not shown were hidden under different keys, and not compared."
        yield Deviation(weight="unknown", field="command.hmac", subject="command", sentence=sentence)


def not_looked_at(sealed: Sealed) -> Iterator[tuple[str, str, str]]:
    """Field, subject and reason of each part that this side does not know."""
    for name in ("git", "git.changed", "git.ignored", "git.untracked", "interpreter", "script"):
        if name in sealed.unobserved and not (name == "script" and _is_code_given(sealed)):
            yield name, _PARTS[name], sealed.unobserved[name]
    for file in (*([] if sealed.script is None else [sealed.script]), *sealed.files):
        if file.digest is None:
            yield f"content of {file.path}", file.path, file.reason or "it was not read"
    if len(sealed.files) >= MAX_FILES:
        yield "files", "files of the command line", f"only the first {MAX_FILES} are looked at"
    git = sealed.git
    if git is None:
        return
    for change in git.changed:
        if change.digest is None and change.status != "deleted":
            yield f"content of {change.path}", change.path, change.reason or "it was not read"
    for file in git.untracked:
        if file.digest is None and is_code(file.path):
            yield f"content of {file.path}", file.path, file.reason or "it was not read"
    if git.untracked_total is not None and not lists_all_code(git):
        yield (
            "git.untracked",
            _PARTS["git.untracked"],
            f"only {MAX_UNTRACKED} of those that may be executed are looked at",
        )


def _is_code_given(sealed: Sealed) -> bool:
    """Whether the program stands on the command line (`-c`), and so is compared with it."""
    argv = sealed.command.argv
    return bool(argv) and is_python_name(argv[0]) and read_python_arguments(argv[1:]).form == "code"


_PARTS: Final = {
    "git": "The code beside the script",
    "git.changed": "What is changed and not committed",
    "git.ignored": "The code that git does not list",
    "git.untracked": "What git does not track",
    "interpreter": "The interpreter",
    "script": "The script",
}


def _subject(each: Difference, before: Sealed, after: Sealed) -> str:
    """The object that a difference is about."""
    if each.group == "script":
        script = after.script or before.script
        return "script" if script is None else script.path
    if each.field in {"git.dirtyDigest", "git.untracked"} and before.git is not None and after.git is not None:
        if each.field == "git.dirtyDigest":
            paths = paths_apart(before.git.changed, after.git.changed)
        else:
            paths = paths_apart(before.git.untracked, after.git.untracked)
            paths = [path for path in paths if is_code(path)] or [p for p in paths if not p.endswith(".seal")]
        return _some(paths) if paths else each.field
    for prefix in ("files.", "distributions.", "environment.", "seeds."):
        if each.field.startswith(prefix):
            return each.field.removeprefix(prefix)
    return each.field


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""  # noqa: PLR2004 - as many as a subject shows
    return f"{', '.join(names[:3])}{more}"
