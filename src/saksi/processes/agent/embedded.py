"""The agent as the launcher's child: the default form, evidence level 1.

The launcher forks; there is no second interpreter to start. If the agent dies, the launcher forks the next one, which
takes over: same run, attempt, socket and token, another key. The child takes a session of its own, lets go of every
file the job may wait for, forbids dumps of its memory, and makes the attempt's key there. The installation's key
signs that key in; nothing asks for it again.

Level 1 means: this process and the job run under one account, and that account could have rewritten the record after
its last anchor.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from saksi.edges.anchors import Anchor
from saksi.edges.bytecode import KeptStore
from saksi.edges.clock import Clock
from saksi.edges.environment.object_places import Surroundings
from saksi.edges.filesystem import move_home
from saksi.edges.hooks import Hook
from saksi.edges.host.self_protection import forbid_dumps
from saksi.edges.store.local import LocalStore
from saksi.judgement.notice import About
from saksi.judgement.seal import parse_seal
from saksi.processes.agent.admission import admit
from saksi.processes.agent.anchors import AnchorWorker, close_all
from saksi.processes.agent.attempt import AttemptSetup, WatchedAttempt
from saksi.processes.agent.control import Closed, Ready, send
from saksi.processes.agent.environment_files import Watch
from saksi.processes.agent.keeper import keep
from saksi.processes.agent.last_head import LastHead
from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.notices import Notices, notices_of
from saksi.processes.agent.scribe import Scribe
from saksi.processes.agent.sequencer import Sequencer
from saksi.processes.agent.service import ignore_the_jobs_signals, serve
from saksi.processes.agent.sources import surroundings_of
from saksi.processes.agent.takeover import Dead, LeftBehind, left_behind
from saksi.proofs.attest.envelope import parse_envelope
from saksi.proofs.tlog.note import NoteSigner, VerifierKey
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput, SaksiError
from saksi.words.findings import Severity
from saksi.words.records import AnyRecord, ApprovalRecord, AttemptKeyRecord, GapRecord, SealRecord
from saksi.words.run import origin_of

__all__ = ["EmbeddedSetup", "start_embedded"]

_logger = logging.getLogger(__name__)


class EmbeddedSetup(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the agent is given. `home_folder` differs from `folder` where the home is not on a local disk.

    `redaction_key` is that of the seal, `cache` the node-local cache folder.

    `seal_file` is what the launch was asked for under, `environment` the files that it names. `takes_over` is the agent
    of the same attempt that died, `last_head` where the last head is kept for the next one. `hooks` hear of findings
    from the severity `notify_from` on; `name` and `project` are what they are told that the run is called.
    """

    run: str
    attempt: int
    folder: Path
    home_folder: Path
    seal_envelope: bytes
    installation: NoteSigner
    previous_keys: tuple[VerifierKey, ...]
    token: str
    launcher: int
    anchors: tuple[Anchor, ...]
    kept: KeptStore | None
    redact: Callable[[tuple[str, ...]], list[str]]
    notes: tuple[str, ...]
    seal_file: bytes | None = None
    environment: Watch | None = None
    redaction_key: bytes | None = None
    cache: Path | None = None
    last_head: LastHead | None = None
    takes_over: Dead | None = None
    hooks: tuple[Hook, ...] = ()
    notify_from: Severity = "warning"
    name: str | None = None
    project: str | None = None


def start_embedded(
    setup: EmbeddedSetup, *, clock: Clock, listener: socket.socket, theirs: socket.socket, ours: socket.socket
) -> int:
    """Fork the agent; its process id. The child never returns from here. `theirs` is the agent's end of the pair."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        ours.close()
        _become_an_agent(setup.folder, keep_open=(listener.fileno(), theirs.fileno()))
        code = _run(setup, clock, listener, theirs)
    except BaseException:  # the end of a process: said in its own log, never to the job's terminal
        _logger.exception("the agent failed")
    finally:
        logging.shutdown()
        os._exit(code)


def _become_an_agent(folder: Path, *, keep_open: tuple[int, ...]) -> None:
    os.setsid()
    ignore_the_jobs_signals()
    forbid_dumps()
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # before anything can fail: the terminal is the job's
        os.dup2(nothing, standard)
    with contextlib.suppress(OSError):  # without its diagnostics the agent works all the same
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.dup2(os.open(folder / "agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), 2)
    # Whoever started `saksi run` may wait for the end of a pipe that we would otherwise hold open.
    start = 3
    for number in sorted(keep_open):
        os.closerange(start, number)
        start = number + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX") if start < 65_536 else start)  # noqa: PLR2004 - common upper limit
    logging.basicConfig(stream=os.fdopen(2, "w", closefd=False), level=logging.INFO, format="%(asctime)s %(message)s")


class _Writing(NamedTuple):
    """What one agent writes with."""

    store: LocalStore
    scribe: Scribe
    checks: LiveChecks
    anchors: tuple[AnchorWorker, ...]
    notices: Notices


def _run(setup: EmbeddedSetup, clock: Clock, listener: socket.socket, control: socket.socket) -> int:
    store = LocalStore(setup.folder)
    checks = LiveChecks()
    about = About(run=setup.run, attempt=setup.attempt, name=setup.name, project=setup.project)
    notices = notices_of(setup.hooks, about, severity=setup.notify_from, clock=clock)
    left = None
    try:
        if setup.takes_over is not None:
            left = _left_behind(setup, setup.takes_over, store)
            left.relive(checks)
            for finding in left.findings:
                notices.recall(finding)
        scribe = _begin(setup, clock, store, checks, left, notices=notices)
    except (SaksiError, OSError) as error:
        store.close()
        send(control, Ready(problem=str(error)))
        return 1
    workers = tuple(AnchorWorker(each, setup.run, clock=time.monotonic) for each in setup.anchors)
    writing = _Writing(store, scribe, checks, workers, notices)
    if left is not None and left.ended:
        send(control, Ready(problem=None))
        _publish(writing)
        _say_goodbye(setup, writing, control)
        return 0
    around = _around(setup.seal_envelope)
    attempt_setup = AttemptSetup(
        launcher=setup.launcher,
        account=os.getuid(),
        token=setup.token,
        redact=setup.redact,
        anchors=workers,
        last_head=setup.last_head,
        processes=() if left is None else tuple(left.processes),
        notes=setup.notes,
        keeps_sources=setup.kept is not None,
        environment=setup.environment,
        own_code=around.own,
        around=around,
        redaction_key=setup.redaction_key,
        cache=setup.cache,
    )
    attempt = WatchedAttempt(attempt_setup, clock=clock, scribe=scribe, listener=listener, control=control)
    send(control, Ready(problem=None))
    serve(attempt)
    _say_goodbye(setup, writing, control)
    _keep_bytecode(setup, attempt)
    return 0


def _around(envelope: bytes) -> Surroundings:
    try:
        around = surroundings_of(parse_seal(parse_envelope(envelope).payload))
    except MalformedInput:  # then the user's own code counts as lying elsewhere
        return Surroundings()
    return msgspec.structs.replace(around, root=os.getuid() == 0)


def _begin(
    setup: EmbeddedSetup,
    clock: Clock,
    store: LocalStore,
    checks: LiveChecks,
    left: LeftBehind | None,
    *,
    notices: Notices,
) -> Scribe:
    """Open the log and make the first records durable. Raises `SaksiError`, `OSError`."""
    origin = origin_of(setup.run)
    signer = NoteSigner(origin, os.urandom(32))
    keys, known = (setup.previous_keys, ()) if left is None else (left.keys, left.known_heads)
    scribe = Scribe(
        run=setup.run,
        attempt=setup.attempt,
        clock=clock,
        store=store,
        open_log=lambda: Sequencer.open(store, origin, signer, keys, known_heads=known),
        checks=checks,
        announce=notices.offer,
    )
    if left is not None and left.ended:
        return scribe
    for record, content in _first_records(setup, scribe, signer, left):
        scribe.write(record, block=content)
    if not scribe.commit():
        raise SaksiError(scribe.problem or "the log could not be begun")
    scribe.write_findings()  # what is not as approved stands in the record before the job starts
    scribe.commit()
    if setup.last_head is not None and scribe.head_note is not None:
        setup.last_head.keep(scribe.head_note)
    return scribe


def _first_records(
    setup: EmbeddedSetup, scribe: Scribe, signer: NoteSigner, left: LeftBehind | None
) -> tuple[tuple[AnyRecord, bytes | None], ...]:
    """The seal and the key, the key first where there is a log already; of an agent that takes over, key and gap.

    Each with the content of the blob that it names.
    """
    head = scribe.head
    previous = None if head is None or head.size == 0 else head
    envelope = admit(signer, setup.installation, run=setup.run, attempt=setup.attempt, previous=previous)
    key = AttemptKeyRecord(envelope=envelope, **scribe.stamp())
    if left is not None and setup.takes_over is not None:
        gap = GapRecord(reason=setup.takes_over.reason, since_wall_ns=left.since_wall_ns, **scribe.stamp())
        return (key, None), (gap, None)
    seal = SealRecord(envelope=str(sha256(setup.seal_envelope)), **scribe.stamp())
    first: tuple[tuple[AnyRecord, bytes | None], ...] = ((seal, setup.seal_envelope), (key, None))
    if previous is not None:
        first = first[::-1]
    if setup.seal_file is None:
        return first
    return *first, (ApprovalRecord(envelope=str(sha256(setup.seal_file)), **scribe.stamp()), setup.seal_file)


def _left_behind(setup: EmbeddedSetup, dead: Dead, store: LocalStore) -> LeftBehind:
    return left_behind(
        store,
        dead,
        run=setup.run,
        attempt=setup.attempt,
        installation=setup.installation.key,
        before=setup.previous_keys,
    )


def _publish(writing: _Writing) -> None:
    """Publish a log that was closed by an agent which died before it could."""
    scribe = writing.scribe
    scribe.publish()
    if scribe.head is not None and scribe.head_note is not None:
        for worker in writing.anchors:
            worker.offer(scribe.head.size, scribe.head_note)


def _say_goodbye(setup: EmbeddedSetup, writing: _Writing, control: socket.socket) -> None:
    """Let the anchors have the last head and the hooks the last findings, move the log home, say the last word."""
    if writing.notices:
        for finding in writing.checks.closing_findings():
            writing.notices.offer(finding)
    unsent = close_all(writing.anchors)
    untold = writing.notices.close()
    sentence = writing.checks.closing_sentence()
    if unsent:
        sentence += f", {unsent} anchor{'s' if unsent > 1 else ''} without the last head"
    if untold:
        sentence += f", {untold} notice{'s' if untold > 1 else ''} not delivered"
    if writing.scribe.problem is not None:
        sentence += f", the log is not complete: {writing.scribe.problem}"
    writing.store.close()
    _go_home(setup)
    send(control, Closed(sentence=sentence))
    control.close()


def _go_home(setup: EmbeddedSetup) -> None:
    if setup.folder == setup.home_folder:
        return
    try:
        move_home(setup.folder, setup.home_folder)
    except (SaksiError, OSError) as error:
        _logger.warning("the run stays in %s for now: %s; the next saksi command moves it", setup.folder, error)


def _keep_bytecode(setup: EmbeddedSetup, attempt: WatchedAttempt) -> None:
    if setup.kept is None or attempt.interpreter is None or not attempt.sources:
        return
    os.nice(19)
    count = keep(setup.kept, interpreter=attempt.interpreter, sources=attempt.sources)
    _logger.info("%d files of bytecode are kept for the next run of this environment", count)
