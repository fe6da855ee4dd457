"""`saksi run`: the command as it is, with a witness beside it.

The exit code is the command's own, always (128+n for a signal). 125, 126 and 127 mean that it never started: saksi
itself, not executable, not found. A witness that cannot start, or breaks later, never stops the command; `--require`
acts only before it starts, as does 5: not what was approved.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from saksi.doors.launch.agent import start_agent
from saksi.doors.launch.arguments import HELP, LaunchArguments, parse_arguments
from saksi.doors.launch.capsules import make_capsule_folder
from saksi.doors.launch.child import (
    CannotStart,
    Child,
    Ended,
    Held,
    drain_signals,
    hold_signals,
    interrupted,
    release_signals,
)
from saksi.doors.launch.environment import environment_reasons
from saksi.doors.launch.joining import alone, join, joined_in_words, remember
from saksi.doors.launch.notified import notified_by
from saksi.doors.launch.running import RunningAgent
from saksi.doors.launch.served import ServedAgent, agent_socket, start_served
from saksi.edges.anchors import parse_anchor
from saksi.edges.clock import Clock, SystemClock
from saksi.edges.host.self_protection import adopt_orphans
from saksi.judgement.seal_file import EnvironmentTree
from saksi.processes.agent.control import MAX_REASON, JobExited, JobStarted, OrphanEnded, SignalSeen, Stop
from saksi.words.errors import SaksiError, UsageError
from saksi.words.records import Peer

if TYPE_CHECKING:
    from saksi.doors.launch.approval import SealAsked

__all__ = ["run"]

SAKSI_FAILED: Final = 125
REFUSED: Final = 5


class _OnlyTheOperator(UsageError):
    """Something that the command line asks for and only whoever runs the node's agent can give."""


def run(words: Sequence[str]) -> int:
    """`saksi run` with everything that follows these two words; the exit code."""
    try:
        arguments = parse_arguments(words)
    except UsageError as error:
        _say(str(error))
        return error.exit_code
    if arguments.help:
        sys.stdout.write(HELP)
        return 0
    held = hold_signals()
    try:
        return _run(arguments, dict(os.environ), SystemClock(), held)
    finally:
        drain_signals()
        release_signals(held)


def _run(arguments: LaunchArguments, environment: Mapping[str, str], clock: Clock, held: Held) -> int:
    adopt_orphans()
    asked = _asked(arguments, environment)
    if isinstance(asked, int):
        return asked
    wanted = _recognised(arguments, environment)
    agent = _agent(wanted, environment, clock, None if asked is None else asked.signed.content)
    if isinstance(agent, int):
        return agent
    number = interrupted()
    if number is not None:
        return _cancel(agent, f"{number.name} before the command started", 128 + number)
    if agent is not None and asked is not None and arguments.require:
        reasons = asked.reasons_against(agent.sealed)
        tree = asked.signed.file.environment_tree
        if isinstance(tree, EnvironmentTree):
            now_ns = clock.wall_ns()
            reasons += environment_reasons(tree, arguments.command, environment, Path.cwd(), now_ns=now_ns)
        for reason in reasons:
            _say(f"not started: {reason}")
        if reasons:
            return _cancel(agent, "not started: --require, and it is not what was approved", REFUSED)
    if agent is not None:
        remember(wanted, environment, agent.run)
        joined = joined_in_words(wanted.key) if agent.run == wanted.resume else ""
        if not arguments.quiet:
            sealed = "" if asked is None else f"{asked.in_words(agent.sealed)}; "
            _say(f"run {agent.run}, attempt {agent.attempt}{joined}: {sealed}{_where(agent)}")
    try:
        child = Child(arguments.command, {**environment, **(agent.added if agent else {})}, held)
    except CannotStart as error:
        _say(str(error))
        return _cancel(agent, f"the command did not start: {error}", error.code)
    ended = _watch(child, agent)
    if agent is not None:
        _close(agent, ended, quiet=arguments.quiet)
    return ended.exit_code


def _asked(arguments: LaunchArguments, environment: Mapping[str, str]) -> SealAsked | int | None:
    """The seal file to launch under, if one was asked for, or the exit code to end with."""
    if arguments.seal is None:
        return None
    from saksi.doors.launch.approval import seal_asked  # noqa: PLC0415 - loads every check: without --seal none is run

    try:
        return seal_asked(arguments.seal, environment)
    except UsageError as error:
        _say(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - what was asked for cannot be had, whatever the reason: one line
        _say(f"--seal {arguments.seal}: {type(error).__name__}: {error}")
        return SAKSI_FAILED


def _recognised(arguments: LaunchArguments, environment: Mapping[str, str]) -> LaunchArguments:
    """With the run that this launch continues, if its surroundings say so."""
    try:
        return join(arguments, environment)
    except (SaksiError, OSError) as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - a defect of the witness never stops training
        said = f"internal error: {type(error).__name__}: {error}"
    _say(f"whether this continues a run is not known: {said}")
    return arguments


def _where(agent: RunningAgent | ServedAgent) -> str:
    if isinstance(agent, ServedAgent):
        return f"witnessed by the agent of account {agent.account}"
    return f"witnessed; `saksi show {agent.run[:8]} --follow`"


def _agent(
    arguments: LaunchArguments, environment: Mapping[str, str], clock: Clock, seal_file: bytes | None
) -> RunningAgent | ServedAgent | int | None:
    """The agent; `None` to go on without one, or the exit code to end with.

    What the command line asks for and cannot be had (`--anchor`, `--notify`, `--resume`) ends here. Nothing else stops
    training.
    """
    try:
        anchors = tuple(parse_anchor(each) for each in arguments.anchors)
        notified = notified_by(arguments, environment, say=_say)
        if arguments.capsules is not None:
            make_capsule_folder(environment)
    except UsageError as error:
        _say(str(error))
        return error.exit_code
    try:
        served = _served(arguments, environment, clock, seal_file)
        if served is not None:
            if notified.hooks:
                _say("nobody is notified: an agent of another account records this run, and starts nothing of this one")
            return served
        return start_agent(
            arguments, environment, Path.cwd(), clock, anchors=anchors, seal_file=seal_file, notified=notified
        )
    except (SaksiError, OSError) as error:
        if arguments.key is not None and arguments.key.joined:
            _say(f"run {arguments.resume} is not continued{joined_in_words(arguments.key)}: {error}; a run of its own")
            return _agent(alone(arguments), environment, clock, seal_file)
        if arguments.resume is not None or isinstance(error, _OnlyTheOperator):
            _say(str(error))
            return error.exit_code if isinstance(error, UsageError) else SAKSI_FAILED
        said = str(error)
    except Exception as error:  # noqa: BLE001 - a defect of the witness never stops training
        said = f"internal error: {type(error).__name__}: {error}"
    if arguments.require:
        _say(f"not started, since there is no witness: {said}")
        return SAKSI_FAILED
    _say(f"NOT witnessed{'' if seal_file is None else ' and not compared with the seal file'}: {said}")
    return None


def _served(
    arguments: LaunchArguments, environment: Mapping[str, str], clock: Clock, seal_file: bytes | None
) -> ServedAgent | None:
    """The node's agent; `None` if there is none, or if it cannot be had and nothing on the command line insists on it.

    An agent of this account takes its place then: the record says which of them wrote it.
    """
    path = agent_socket(environment)
    if path is None:
        return None
    if arguments.anchors:
        raise _OnlyTheOperator(
            f"--anchor: the agent at {path} keeps anchors of its own",
            remedy="leave it out, or set SAKSI_AGENT=embedded for an agent of this account",
        )
    if arguments.notify:
        raise _OnlyTheOperator(
            f"--notify: the agent at {path} starts nothing for others",
            remedy="leave it out, or set SAKSI_AGENT=embedded for an agent of this account",
        )
    try:
        return start_served(path, arguments, environment, Path.cwd(), clock, seal_file=seal_file)
    except (SaksiError, OSError) as error:
        if arguments.require or arguments.resume is not None:
            raise
        _say(f"the agent at {path} is not used: {error}; this account records the run itself")
        return None


def _watch(child: Child, agent: RunningAgent | ServedAgent | None) -> Ended:
    if agent is not None:
        agent.tell(JobStarted(pid=child.pid, wall_ns=child.started_wall_ns, mono_ns=child.started_ns))

    def seen(name: str, forwarded: bool, sender: Peer | None) -> None:  # noqa: FBT001 - a callback's signature
        if agent is not None:
            agent.tell(SignalSeen(signal=name, forwarded=forwarded, sender=sender))

    if agent is None:
        return child.wait(seen)

    def reaped(pid: int, status: int) -> None:
        if not agent.reaped(pid, status):
            agent.tell(OrphanEnded(pid=pid, status=status))

    def tend() -> float | None:
        try:
            return agent.tend()
        except Exception:  # noqa: BLE001 - a defect of the witness never costs the command its launcher
            return None

    return child.wait(seen, reaped=reaped, tend=tend)


def _close(agent: RunningAgent | ServedAgent, ended: Ended, *, quiet: bool) -> None:
    agent.tell(JobExited(code=ended.code, signal=ended.signal, elapsed_ns=ended.elapsed_ns))
    sentence = agent.close()
    if quiet:
        return
    if isinstance(agent, ServedAgent):
        copy = f"; `saksi bundle {agent.run[:8]} --from-agent -o run.saksi`"
        _say(f"run {agent.run}: {agent.left_unsaid() if sentence is None else sentence + copy}")
    elif sentence is None:
        _say(f"run {agent.run}: {agent.left_unsaid()}; `saksi fsck {agent.run[:8]}` says what is in the log")
    else:
        _say(f"run {agent.run}: {sentence}; `saksi show {agent.run[:8]}`")


def _cancel(agent: RunningAgent | ServedAgent | None, reason: str, code: int) -> int:
    if agent is not None:
        # The command's name may be no UTF-8, and as long as it likes.
        agent.tell(Stop(reason=reason.encode("ascii", "backslashreplace").decode("ascii")[:MAX_REASON]))
        agent.close()
    return code


def _say(line: str) -> None:
    """One line of ours among the job's: on standard error, and never in the way of anything."""
    shown = "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in line)
    try:
        sys.stderr.write(f"saksi: {shown}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        return
