"""Why two runs may differ before the first step: seals or seal files compared, the most telling difference first.

What differs by nature is left out: the run's id, its attempt and name, when it was made, what saksi added to the
environment, and `approved`, which is false in every seal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, TypeVar

import msgspec

from saksi.judgement.expect.values import in_words
from saksi.judgement.plan.data import DataPlan
from saksi.judgement.plan.values import Plan
from saksi.judgement.redaction import reason_to_record
from saksi.judgement.seal import Change, Git, Sealed, SealedFile, expectations_of

__all__ = ["GROUPS", "KEYED", "Difference", "Group", "differences", "paths_apart"]

Group = Literal[
    "command", "seeds", "script", "git", "files", "distributions", "environment", "interpreter", "hardware",
    "plan", "recording", "session",
]  # fmt: skip
GROUPS: Final[tuple[Group, ...]] = (
    "command", "seeds", "script", "git", "files", "distributions", "environment", "interpreter", "hardware",
    "plan", "recording", "session",
)  # fmt: skip
"""In order of importance. `session` is what changes with every login and steers no training library known to us."""

_SESSION: Final = frozenset(
    [
        "_",
        "SHLVL",
        "OLDPWD",
        "WINDOWID",
        "TERM_SESSION_ID",
        "SSH_CLIENT",
        "SSH_CONNECTION",
        "SSH_TTY",
        "SSH_AUTH_SOCK",
        "XDG_SESSION_ID",
        "COLUMNS",
        "LINES",
        "DBUS_SESSION_BUS_ADDRESS",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "TMUX",
        "TMUX_PANE",
        "STY",
        "PS1",
    ]
)
KEYED: Final = "hmac-sha256:"
"""How a value begins that is hidden: values of two keys cannot be compared."""
_MANY: Final = 5
_INTERPRETER: Final = (
    ("version", "version"),
    ("implementation", "implementation"),
    ("cache_tag", "cacheTag"),
    ("path", "path"),
    ("real_path", "realPath"),
    ("digest", "digest"),
    ("prefix", "prefix"),
    ("base_prefix", "basePrefix"),
    ("flags", "flags"),
)

_Value = TypeVar("_Value")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs, and a sentence for a person. Null is "not there"."""

    group: Group
    field: str
    before: str | None
    after: str | None
    sentence: str


def differences(before: Sealed, after: Sealed) -> tuple[Difference, ...]:
    """What differs between two seals, the most telling first. Empty for two seals of the same thing."""
    found = [each for compare in _COMPARISONS for each in compare(before, after)]
    return tuple(sorted(found, key=lambda each: GROUPS.index(each.group)))  # stable: fields keep their order


def _changed(group: Group, field: str, before: object, after: object, what: str) -> Iterator[Difference]:
    """The difference of one plain field, if there is one."""
    if before != after:
        was, now = _text(before), _text(after)
        sentence = f"{what} {_shown(was)} before and is {_shown(now)} now."
        yield Difference(group=group, field=field, before=was, after=now, sentence=sentence)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, tuple | list):
        return " ".join(str(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(text: str | None) -> str:
    return "not there" if text is None else repr(text) if not text or " " in text else text


def _command(before: Sealed, after: Sealed) -> Iterator[Difference]:
    was, now = before.command, after.command
    if was.argv != now.argv or was.total != now.total:
        yield Difference(
            group="command",
            field="command.argv",
            before=" ".join(was.argv),
            after=" ".join(now.argv),
            sentence=_arguments_sentence(was.argv, now.argv),
        )
    elif was.hmac != now.hmac and before.redaction_key == after.redaction_key:
        yield Difference(
            group="command",
            field="command.hmac",
            before=was.hmac,
            after=now.hmac,
            sentence="A value of the command line that is not shown (redacted or too long) differs.",
        )
    yield from _changed(
        "command", "workingDirectory", before.working_directory, after.working_directory, "The working directory was"
    )


def _arguments_sentence(was: Sequence[str], now: Sequence[str]) -> str:
    shortest = min(len(was), len(now))
    start = next((i for i in range(shortest) if was[i] != now[i]), shortest)
    end = next((i for i in range(shortest - start) if was[-1 - i] != now[-1 - i]), shortest - start)
    # A changed value is not understood without its flag.
    if start and was[start - 1].startswith("-") and "=" not in was[start - 1]:
        start -= 1
    old, new = " ".join(was[start : len(was) - end]), " ".join(now[start : len(now) - end])
    if not old:
        return f"The command line has {new!r} in addition."
    return f"The command line no longer has {old!r}." if not new else f"The command line has {new!r}, not {old!r}."


def _seeds(before: Sealed, after: Sealed) -> Iterator[Difference]:
    for name, was, now in _pairs(before.seeds, after.seeds):
        yield from _changed("seeds", f"seeds.{name}", was, now, f"The seed {name} was")


def _script(before: Sealed, after: Sealed) -> Iterator[Difference]:
    yield from _file("script", "script", before.script, after.script, "The script")


def _files(before: Sealed, after: Sealed) -> Iterator[Difference]:
    old, new = ({each.path: each for each in seal.files} for seal in (before, after))
    for path, was, now in _pairs(old, new):
        yield from _file("files", f"files.{path}", was, now, "The file")


def _file(group: Group, field: str, was: SealedFile | None, now: SealedFile | None, what: str) -> Iterator[Difference]:
    if was == now:
        return
    if was is None or now is None:
        path = "" if was is now else (was or now).path  # type: ignore[union-attr] # one of them is there
        sentence = f"{what} {path} is known only {'after' if was is None else 'before'}."
    elif was.path != now.path and was.digest == now.digest is not None:
        sentence = f"{what} is {now.path}, not {was.path}; the content is the same."
    elif was.path != now.path:
        sentence = f"{what} is {now.path}, not {was.path}."
    elif was.digest is None or now.digest is None:
        sentence = f"{what} {now.path} could not be compared by content: {was.reason or now.reason}."
    else:
        sentence = f"{what} {now.path} has other content."
    yield Difference(group=group, field=field, before=_digest(was), after=_digest(now), sentence=sentence)


def _digest(file: SealedFile | None) -> str | None:
    return None if file is None else f"{file.path} {file.digest or f'{file.size} bytes'}"


def _git(before: Sealed, after: Sealed) -> Iterator[Difference]:
    was, now = before.git, after.git
    if was is None or now is None:
        if was is not now:
            reason = (before if was is None else after).unobserved.get("git", "no reason is recorded")
            sentence = f"Git's state is known only {'after' if was is None else 'before'}: {reason}."
            yield Difference(group="git", field="git", before=_commit(was), after=_commit(now), sentence=sentence)
        return
    yield from _changed("git", "git.commit", was.commit, now.commit, "The commit was")
    if was.commit == now.commit:
        yield from _changed("git", "git.tree", was.tree, now.tree, "The commit's tree was")
    if was.dirty_digest != now.dirty_digest or was.dirty != now.dirty:
        yield Difference(
            group="git",
            field="git.dirtyDigest",
            before=was.dirty_digest,
            after=now.dirty_digest,
            sentence=_dirty_sentence(was, now),
        )
    yield from _untracked(was, now)
    yield from _changed("git", "git.branch", was.branch, now.branch, "The branch was")


def _commit(git: Git | None) -> str | None:
    return None if git is None else git.commit


def _dirty_sentence(was: Git, now: Git) -> str:
    return f"Changes that are not committed differ{_list(paths_apart(was.changed, now.changed))}."


def _untracked(was: Git, now: Git) -> Iterator[Difference]:
    paths = paths_apart(was.untracked, now.untracked)
    if paths or was.untracked_total != now.untracked_total:
        yield Difference(
            group="git",
            field="git.untracked",
            before=_count(was.untracked_total),
            after=_count(now.untracked_total),
            sentence=f"Files that git does not track differ{_list(paths)}.",
        )


def _count(total: int | None) -> str | None:
    return None if total is None else f"{total} files"


def _list(paths: Sequence[str]) -> str:
    if not paths:
        return ", among those that are not listed"
    more = f" and {len(paths) - _MANY} more" if len(paths) > _MANY else ""
    return f": {', '.join(paths[:_MANY])}{more}"


def _distributions(before: Sealed, after: Sealed) -> Iterator[Difference]:
    old, new = (_versions(seal) for seal in (before, after))
    for name, was, now in _pairs(old, new):
        if was != now:
            if was is None or now is None:
                sentence = f"{name} {now or was} is installed only {'after' if was is None else 'before'}."
            else:
                sentence = f"{name} is {now}, not {was}."
            yield Difference(
                group="distributions", field=f"distributions.{name}", before=was, after=now, sentence=sentence
            )


def _versions(seal: Sealed) -> dict[str, str]:
    table: dict[str, str] = {}
    for each in seal.distributions:  # a name can be there twice, on two paths
        table[each.name] = f"{table[each.name]}, {each.version}" if each.name in table else each.version
    return table


def _environment(before: Sealed, after: Sealed) -> Iterator[Difference]:
    same_key = before.redaction_key == after.redaction_key
    blind = 0
    for name, was, now in _pairs(before.environment, after.environment):
        hidden = any(value is not None and value.startswith(KEYED) for value in (was, now))
        if hidden and was is not None and now is not None and not same_key:
            blind += 1
        elif was != now:
            yield Difference(
                group="session" if name in _SESSION else "environment",
                field=f"environment.{name}",
                before=was,
                after=now,
                sentence=_variable_sentence(name, was, now, hidden=hidden),
            )
    if blind:
        yield Difference(
            group="environment",
            field="redactionKey",
            before=before.redaction_key,
            after=after.redaction_key,
            sentence=f"{blind} variables cannot be compared: their values are hidden under different keys.",
        )


def _variable_sentence(name: str, was: str | None, now: str | None, *, hidden: bool) -> str:
    reason = reason_to_record(name)
    subject = name if reason is None else f"{name}, which {reason},"
    if was is None or now is None:
        value = was if now is None else now
        shown = "" if hidden else f" ({value})"
        return f"{subject} is set only {'after' if was is None else 'before'}{shown}."
    return f"{subject} has another value{'' if hidden else f': {now!r}, not {was!r}'}."


def _interpreter(before: Sealed, after: Sealed) -> Iterator[Difference]:
    was, now = before.interpreter, after.interpreter
    if was is None or now is None:
        if was is not now:
            reason = (before if was is None else after).unobserved.get("interpreter", "no reason is recorded")
            yield Difference(
                group="interpreter",
                field="interpreter",
                before=None if was is None else was.path,
                after=None if now is None else now.path,
                sentence=f"The interpreter is known only {'after' if was is None else 'before'}: {reason}.",
            )
        return
    for field, name in _INTERPRETER:
        what = f"The interpreter's {field.replace('_', ' ')} was"
        yield from _changed("interpreter", f"interpreter.{name}", getattr(was, field), getattr(now, field), what)


def _hardware(before: Sealed, after: Sealed) -> Iterator[Difference]:
    was, now = before.hardware, after.hardware
    yield from _changed("hardware", "hardware.gpus", was.gpus, now.gpus, "The GPUs were")
    yield from _changed("hardware", "hardware.cpu", was.cpu, now.cpu, "The CPU was")
    for field, before_it, after_it, what in (
        ("cpuFeatures", was.cpu_features, now.cpu_features, "The kind of the CPU was"),
        ("processors", was.processors, now.processors, "The number of processors was"),
    ):
        if msgspec.UNSET not in (before_it, after_it):  # earlier versions did not look
            yield from _changed("hardware", f"hardware.{field}", before_it, after_it, what)
    yield from _changed("hardware", "hardware.machine", was.machine, now.machine, "The architecture was")
    yield from _changed("hardware", "hardware.cores", was.cores, now.cores, "The number of usable cores was")
    yield from _changed("hardware", "hardware.memoryBytes", was.memory_bytes, now.memory_bytes, "The memory was")
    yield from _changed("hardware", "hardware.host", was.host, now.host, "The host was")
    yield from _changed("hardware", "kernel", before.kernel, after.kernel, "The kernel was")


def _plan(before: Sealed, after: Sealed) -> Iterator[Difference]:
    if before.plan != after.plan:
        was, now = (None if each is None else msgspec.json.encode(each).decode() for each in (before.plan, after.plan))
        yield Difference(group="plan", field="plan", before=was, after=now, sentence=_plan_sentence(before, after))


def _plan_sentence(before: Sealed, after: Sealed) -> str:
    if before.plan is None or after.plan is None:
        return f"A plan is there only {'after' if before.plan is None else 'before'}."
    names = [each for each in Plan.__struct_fields__ if getattr(before.plan, each) != getattr(after.plan, each)]
    return f"The plan is another one, in {', '.join(names)}."


def _expect(before: Sealed, after: Sealed) -> Iterator[Difference]:
    old, new = expectations_of(before), expectations_of(after)
    if old != new:
        was, now = (msgspec.json.encode(each).decode() if each else None for each in (old, new))
        sides = ((old, new), (new, old))
        gone, come = ([f"{in_words(each)} ({each.why})" for each in one if each not in other] for one, other in sides)
        said = [f"only {when} {_some(words)}" for when, words in (("before", gone), ("after", come)) if words]
        sentence = f"What is declared to be expected is not the same: {'; '.join(said)}."
        yield Difference(group="plan", field="expect", before=was, after=now, sentence=sentence)


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _MANY} more" if len(words) > _MANY else ""
    return f"{'; '.join(words[:_MANY])}{more}"


def _data(before: Sealed, after: Sealed) -> Iterator[Difference]:
    was, now = (each.data if isinstance(each.data, DataPlan) else None for each in (before, after))
    if was == now:
        return
    if was is None or now is None:
        sentence = f"What data is planned is said only {'after' if was is None else 'before'}."
    else:
        names = [each for each in DataPlan.__struct_fields__ if getattr(was, each) != getattr(now, each)]
        sentence = f"The planned data is another, in {', '.join(names)}."
    texts = [None if each is None else msgspec.json.encode(each).decode() for each in (was, now)]
    yield Difference(group="plan", field="data", before=texts[0], after=texts[1], sentence=sentence)


def _recording(before: Sealed, after: Sealed) -> Iterator[Difference]:
    yield from _changed("recording", "project", before.project, after.project, "The project was")
    yield from _changed("recording", "level", before.level, after.level, "The level of recording was")
    yield from _changed("recording", "segment", before.segment, after.segment, "The length of a segment was")
    # What each part could not observe is told where the part is compared; here is the rest.
    for name, was, now in _pairs(before.unobserved, after.unobserved):
        if name not in {"git", "interpreter"}:
            yield from _changed("recording", f"unobserved.{name}", was, now, f"The reason that {name} is unknown was")


def paths_apart(before: Iterable[Change | SealedFile], after: Iterable[Change | SealedFile]) -> list[str]:
    """The paths, sorted, that are not the same in both lists."""
    old, new = ({each.path: each for each in files} for files in (before, after))
    return [path for path, one, other in _pairs(old, new) if one != other]


def _pairs(old: Mapping[str, _Value], new: Mapping[str, _Value]) -> Iterator[tuple[str, _Value | None, _Value | None]]:
    """Every name of either table, sorted, with its two values."""
    for name in sorted({*old, *new}):
        yield name, old.get(name), new.get(name)


_COMPARISONS: Final[tuple[Callable[[Sealed, Sealed], Iterator[Difference]], ...]] = (
    _command,
    _seeds,
    _script,
    _git,
    _files,
    _distributions,
    _environment,
    _interpreter,
    _hardware,
    _plan,
    _expect,
    _data,
    _recording,
)
