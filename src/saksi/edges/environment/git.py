"""What git says of a work tree, without running anything that the repository's configuration names.

Rules:

- git never reads the repository's configuration. It is given a git folder of our own, which has an empty one, and the
  repository's objects and index. So `core.fsmonitor`, hooks, `diff.external`, text converters, clean filters, remotes
  of partial clones and whatever future versions of git learn to run from a configuration have no say. (Switching them
  off one by one was the other way; it needs to know them all.)
- System and global configuration are left out too: the answer must not depend on who asks. `PATH` entries that are
  relative or lie in the work tree are not searched for git.
- git only lists; the content of what differs is read and digested here.
- Nothing waits longer than the deadline, and an answer beyond `MAX_ANSWER` is given up.

BUG: without filters a file under one (git-lfs, line endings) that was touched counts as changed although it may not
be. An index whose stamps were forged to match an edited file hides the edit; the digests of the script and of imported
sources do not come from git.
"""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, NamedTuple

from saksi.edges.environment.interpreter import NotKnown, find_program
from saksi.edges.environment.repository import Repository

__all__ = ["MAX_ANSWER", "Listed", "Question", "ask", "linked_in", "listed_changes", "questions", "safe_path", "shadow"]

MAX_ANSWER: Final = 32 * 1024 * 1024
"""The names of about 300,000 files."""
_EMPTY_TREES: Final = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_FIXED: Final = (
    *("--no-pager", "--no-optional-locks", "--no-replace-objects", "--literal-pathspecs"),
    *("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.untrackedCache=false"),
)
_RAW_FIELDS: Final = 5
GITLINK: Final = "160000"
SYMLINK: Final = "120000"


class Question(NamedTuple):
    """One git process: what it answers, and its arguments."""

    name: str
    arguments: tuple[str, ...]


class Listed(NamedTuple):
    """A tracked file that may differ: its mode and object in the commit, where it is there, and git's letter."""

    path: bytes
    letter: str
    mode: str
    object_id: str


def questions(repository: Repository, beside: Path | None = None) -> tuple[Question, ...]:
    """What is asked about a work tree; all of it can run at once. Ignored files count below the folder `beside`."""
    commit = repository.commit
    base = commit or _EMPTY_TREES[repository.object_format]
    changes = ("diff-index", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff", "--no-textconv")
    asked = [
        Question("changes", (*changes, "--ignore-submodules=dirty", base, "--")),
        Question("hidden", ("ls-files", "-v", "-s", "-z", "--cached")),
        Question("untracked", ("ls-files", "--others", "--exclude-standard", "-z")),
    ]
    if beside is not None and beside.is_relative_to(repository.top):
        ignored = ("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z", "--")
        asked.append(Question("ignored", (*ignored, str(beside.relative_to(repository.top)))))
    if commit is not None:
        asked.append(Question("tree", ("rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}")))
    return tuple(asked)


@contextmanager
def shadow(repository: Repository, folder: Path) -> Iterator[Path]:
    """A git folder of our own in `folder` (which exists and is private), gone afterwards. Raises `OSError`."""
    made = folder / f"git-{os.getpid()}-{os.urandom(8).hex()}"
    made.mkdir(mode=0o700)
    files: list[Path] = []
    try:
        (made / "refs").mkdir()
        (made / "info").mkdir()
        for name, text in (
            ("HEAD", f"{repository.commit or 'ref: refs/heads/none'}\n"),
            ("config", _config(repository)),
        ):
            files.append(made / name)
            files[-1].write_text(text)
        links = [(made / "info" / "exclude", repository.common / "info" / "exclude")]
        links += [(made / each.name, each) for each in repository.git_dir.glob("sharedindex.*")]  # of a split index
        for link, target in links:
            files.append(link)
            link.symlink_to(target)
        yield made
    finally:
        for file in files:
            file.unlink(missing_ok=True)
        for each in (made / "info", made / "refs", made):
            each.rmdir()


def _config(repository: Repository) -> str:
    version = "1\n[extensions]\n\tobjectFormat = sha256\n[core]" if repository.object_format == "sha256" else "0"
    mode = str(repository.file_mode).lower()
    return f"[core]\n\trepositoryFormatVersion = {version}\n\tbare = false\n\tfileMode = {mode}\n"


def _environment(repository: Repository, git_dir: Path, environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environment[name] for name in ("HOME", "XDG_CONFIG_HOME") if name in environment}  # git/ignore
    return kept | {
        "PATH": safe_path(environment, repository.top),
        "LC_ALL": "C",
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(repository.top),
        "GIT_OBJECT_DIRECTORY": str(repository.common / "objects"),
        "GIT_INDEX_FILE": str(repository.git_dir / "index"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def safe_path(environment: Mapping[str, str], top: Path) -> str:
    """PATH without what is relative or lies in the work tree `top`: git is not looked for there."""
    parts = environment.get("PATH", os.defpath).split(os.pathsep)
    inside = os.path.realpath(top)
    safe = [
        part
        for part in parts
        if os.path.isabs(part) and os.path.commonpath((inside, os.path.realpath(part))) != inside  # noqa: PTH117
    ]
    return os.pathsep.join(safe) or os.defpath


def ask(
    repository: Repository,
    git_dir: Path,
    environment: Mapping[str, str],
    *,
    until: float,
    clock: Callable[[], float],
    asked: Sequence[Question],
) -> dict[str, bytes]:
    """What git answers to the questions `asked`, by name. Raises `NotKnown`.

    One that failed or took too long is not there.

    `clock()` gives monotonic seconds; nothing waits longer than `until`.
    """
    own = _environment(repository, git_dir, environment)
    try:
        program = find_program("git", own, repository.top)
    except NotKnown:
        raise NotKnown("git is not installed") from None
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in asked:
            running[name] = subprocess.Popen(
                [program, *_FIXED, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=own,
                cwd=repository.top,
            )
        return _gather(running, until=until, clock=clock)
    except OSError as error:
        raise NotKnown(f"git could not be started: {error.strerror}") from None
    finally:
        for process in running.values():
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdout is not None:
        process.stdout.close()
    if process.poll() is None:
        process.kill()
        process.wait()


def _gather(
    running: Mapping[str, subprocess.Popen[bytes]], *, until: float, clock: Callable[[], float]
) -> dict[str, bytes]:
    """Read every answer at once, so that no process waits for another's reader."""
    answers: dict[str, bytearray] = {name: bytearray() for name in running}
    done: dict[str, bytes] = {}
    with selectors.DefaultSelector() as selector:
        for name, process in running.items():
            selector.register(_output(process), selectors.EVENT_READ, name)
        while selector.get_map() and (left := until - clock()) > 0:
            for key, _events in selector.select(left):
                name = key.data
                chunk = os.read(key.fd, 1 << 20)
                answers[name] += chunk
                if chunk and len(answers[name]) <= MAX_ANSWER:
                    continue
                selector.unregister(key.fileobj)
                if not chunk and running[name].wait() == 0:
                    done[name] = bytes(answers[name])
    return done


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:  # pragma: no cover - it was started with a pipe
        raise NotKnown("git has no output")
    return process.stdout


def listed_changes(answers: Mapping[str, bytes]) -> dict[bytes, Listed]:
    """The tracked files that may differ, by path: those git lists, and those the index was told not to look at.

    `assume-unchanged` and `skip-worktree` are flags that anybody can set on an edited file. Raises `NotKnown`.
    """
    if "changes" not in answers or "hidden" not in answers:
        raise NotKnown("git failed, or took too long, listing the changes")
    found = {each.path: each for each in (*_hidden(answers["hidden"]), *_raw(answers["changes"]))}
    return dict(sorted(found.items()))


def linked_in(answers: Mapping[str, bytes]) -> Iterator[tuple[bytes, str]]:
    """The path and the mode of each submodule and symbolic link in the index; nothing where git did not answer."""
    for line in answers.get("hidden", b"").split(b"\0"):
        header, _, path = line.partition(b"\t")
        fields = header.decode("ascii", "replace").split(" ")
        if len(fields) == 4 and fields[1] in {GITLINK, SYMLINK}:  # noqa: PLR2004 - the four of the form
            yield path, fields[1]


def _raw(answer: bytes) -> Iterator[Listed]:
    # ":100644 100755 <object> <object> M", NUL, the path, NUL (git-diff-index(1), "Raw output format").
    parts: Sequence[bytes] = answer.split(b"\0")
    for header, path in zip(parts[0::2], parts[1::2], strict=False):
        fields = header.decode("ascii", "replace").removeprefix(":").split(" ")
        if len(fields) != _RAW_FIELDS:
            raise NotKnown("git listed changes in a form that this build does not read")
        yield Listed(path, fields[4][:1], fields[0], fields[2])


def _hidden(answer: bytes) -> Iterator[Listed]:
    # "h 100644 <object> 0", tab, the path: a lower-case letter is assume-unchanged, S is skip-worktree.
    for line in answer.split(b"\0"):
        header, _, path = line.partition(b"\t")
        fields = header.decode("ascii", "replace").split(" ")
        if len(fields) == 4 and (fields[0].islower() or fields[0] == "S"):  # noqa: PLR2004 - the four of the form
            yield Listed(path, fields[0], fields[1], fields[2])
