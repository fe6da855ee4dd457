"""The environment's files, as `saksi seal create` seals them: their tree, and the manifest that they agree with."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from saksi.doors.cli.env_verify import report_on
from saksi.doors.cli.given_manifest import open_given
from saksi.doors.cli.progress import progress
from saksi.doors.cli.screen import tell
from saksi.doors.launch.environment import environment_tree, question_asked
from saksi.edges.environment.interpreter import NotKnown
from saksi.edges.environment.listing import Question
from saksi.edges.environment.own_packages import own_packages, without
from saksi.edges.environment.watched_files import recall_tree
from saksi.edges.home import resolve_cache
from saksi.judgement.changed_lines import Place
from saksi.judgement.environment.watched_files import FilesAt, changes_between, name_of
from saksi.judgement.seal_file import EnvironmentTree, SealFile
from saksi.words.errors import UsageError

__all__ = ["changed_files", "require_fitting", "tree_to_seal"]


def require_fitting(manifest: Path | None, trust: Sequence[Path] | None, *, no_environment: bool) -> None:
    """Raises `UsageError` for options that do not go together."""
    if trust and manifest is None:
        raise UsageError("--trust belongs to --manifest", remedy="leave it out")
    if manifest is not None and no_environment:
        raise UsageError("--manifest compares the environment's files, which --no-environment leaves out")


def tree_to_seal(
    command: Sequence[str], manifest: Path | None, trust: Sequence[Path], *, now_ns: int
) -> EnvironmentTree | None:
    """The tree of the environment that `command` would run in; `None`, and said, if it has none.

    Folders of the project's own on PYTHONPATH are sealed with it, and none that a manifest would list. Raises
    `UsageError` if the rest does not agree with the manifest, and what opening a manifest raises.
    """
    given = None if manifest is None else open_given(manifest, trust)
    try:
        question = question_asked(command, os.environ, Path.cwd())
    except NotKnown as reason:
        _require(given is None, f"{manifest}: {reason}")
        tell(f"the environment's files are not sealed: {reason}")
        return None
    if given is not None:
        listed = without(question.environment, own_packages(question.environment, question.folder))
        of_packages = msgspec.structs.replace(question, environment=listed)
        report = report_on(of_packages, given, now_ns=now_ns, progress=progress)
        _require(report.verdict == "verified", f"the environment does not agree with {manifest}: {report.sentence}")
    found = environment_tree(question, now_ns=now_ns, progress=progress)
    if found.tree is None:
        _require(given is None, f"the environment's files cannot be sealed: {found.reason}")
        tell(f"the environment's files are not sealed: {found.reason}")
        return None
    return found.tree if given is None else msgspec.structs.replace(found.tree, manifest=str(given.digest))


def changed_files(before: SealFile, after: SealFile) -> tuple[Place, ...]:
    """The files in which the sealed trees differ, where the listings of both were kept on this machine."""
    found = [_listing(each) for each in (before, after)]
    if found[0] is None or found[1] is None:
        return ()
    return tuple(Place(path=name_of(each), line=None) for each in changes_between(found[0], found[1]).listed)


def _listing(file: SealFile) -> FilesAt | None:
    if not isinstance(file.environment_tree, EnvironmentTree) or file.interpreter is None:
        return None
    question = Question(
        python=Path(file.interpreter.path),
        environment=os.environ,
        folder=Path.cwd(),
        cache=resolve_cache(os.environ, uid=os.getuid()),
    )
    return recall_tree(question, file.environment_tree.digest)


def _require(fits: bool, message: str) -> None:  # noqa: FBT001 - a condition
    if not fits:
        raise UsageError(message, remedy="see `saksi env verify --manifest FILE`, or leave --manifest out")
