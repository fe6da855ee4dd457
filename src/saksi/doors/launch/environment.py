"""The environment's files at a launch: sealed by `saksi seal create`, held to with `--seal`.

Without `--require` nothing is looked at before the command starts: the agent does that beside it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.listing import Question
from saksi.edges.environment.tree import Progress, silent
from saksi.edges.environment.watched_files import keep_tree, look_at, question_of, recall_tree
from saksi.edges.home import resolve_cache
from saksi.judgement.environment.watched_files import changes_between, matters, name_of, tree_of
from saksi.judgement.seal_file import EnvironmentTree, parse_seal_file
from saksi.processes.agent.environment_files import Watch
from saksi.words.errors import SaksiError

__all__ = ["SealedEnvironment", "environment_reasons", "environment_to_watch", "environment_tree", "question_asked"]

_NAMED: Final = 10
"""Files that are named before a launch is refused."""


class SealedEnvironment(NamedTuple):
    """The tree of an environment, or why it has none."""

    tree: EnvironmentTree | None
    reason: str | None


def question_asked(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Question:
    """The environment that `command` would run in. Raises `NotKnown`."""
    return question_of(command, environment, folder, cache=resolve_cache(environment, uid=os.getuid()))


def environment_tree(question: Question, *, now_ns: int, progress: Progress = silent) -> SealedEnvironment:
    """The tree to seal; its listing is kept here, so that a later launch can name what differs."""
    try:
        found = look_at(question, now_ns=now_ns, progress=progress)
    except SaksiError as error:
        return SealedEnvironment(None, str(error))
    digest = tree_of(found)
    if digest is None:
        return SealedEnvironment(None, found.reason or "a file could not be read")
    keep_tree(question, found)
    return SealedEnvironment(EnvironmentTree(digest=str(digest), files=len(found.files)), None)


def environment_to_watch(
    seal_file: bytes | None, command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> Watch | None:
    """What the agent is to look at while the command runs: nothing, unless the seal file names a tree."""
    tree = msgspec.UNSET if seal_file is None else parse_seal_file(seal_file).file.environment_tree
    if not isinstance(tree, EnvironmentTree):
        return None
    try:
        return Watch(question=question_asked(command, environment, folder), sealed=tree.digest)
    except NotKnown as reason:
        return Watch(question=None, sealed=tree.digest, reason=str(reason))


def environment_reasons(
    tree: EnvironmentTree, command: Sequence[str], environment: Mapping[str, str], folder: Path, *, now_ns: int
) -> tuple[str, ...]:
    """Why the environment is not as it was sealed, one line each; empty if it is. Looks at every file's state."""
    remedy = "saksi env verify; or seal anew: saksi seal create"
    try:
        question = question_asked(command, environment, folder)
        found = look_at(question, now_ns=now_ns)
    except (NotKnown, SaksiError) as error:
        return (f"environment: its files could not be compared with those that were sealed: {error}",)
    digest = tree_of(found)
    if digest is not None and str(digest) == tree.digest:
        return ()
    sealed = recall_tree(question, tree.digest)
    if sealed is None or digest is None:
        why = (
            found.reason or "which files is not known here: the listing of the sealed tree was not kept on this machine"
        )
        return (f"environment: its files are not those that were sealed; {why} ({remedy})",)
    changes = changes_between(sealed, found)
    if not changes.matter:
        return ()
    named = [each for each in changes.listed if matters(each)][:_NAMED]
    reasons = [f"{name_of(each)}: {each.what} since it was sealed" for each in named]
    more = sum(changes.totals.values()) - len(named)
    reasons[-1] += f" ({f'{more} more; ' if more else ''}{remedy})"
    return tuple(reasons)
