"""One attempt of the agent as a service: planned for an account, begun with the seal it sent, closed.

Rules:

- The run's id, its folder and its token are made by us (`node_plan.py`); a seal is signed only if it names them.
- What the job's account says never becomes a deed of the agent's account: no command of it is started, no anchor of
  it is written, no bytecode of it is kept, and a file is read only if that account could read it. Sources are compiled
  by our own interpreter, in a limited child, to compare code with them; nothing of them is executed.
- The operator's hooks hear of findings as those of a home do; what was not taken stands in the service's own log.
- What this account may not see of the job's processes stands in the first record, each with its reason.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Final

import msgspec

from saksi.edges.files import OnBehalf
from saksi.edges.filesystem import move_home
from saksi.edges.home import Home
from saksi.edges.host.namespaces import pid_seen_from_here, pids_of
from saksi.edges.host.procfs import hidden_of, read_process
from saksi.edges.keys import Keyring
from saksi.edges.store.local import LocalStore
from saksi.judgement.configuration import check_label
from saksi.judgement.notice import About
from saksi.judgement.redaction import redact_command
from saksi.judgement.seal import Seal, parse_seal
from saksi.judgement.seal_file import EnvironmentTree, parse_seal_file
from saksi.processes.agent.admission import admit
from saksi.processes.agent.anchors import AnchorWorker, close_all
from saksi.processes.agent.attempt import AttemptSetup, WatchedAttempt
from saksi.processes.agent.control import Closed, JobStarted, send
from saksi.processes.agent.environment_files import Watch
from saksi.processes.agent.live import LiveChecks
from saksi.processes.agent.node_plan import NodeHome, Planned
from saksi.processes.agent.notices import Notices, notices_of
from saksi.processes.agent.observations import printable
from saksi.processes.agent.quota import QuotaStore
from saksi.processes.agent.scribe import Scribe
from saksi.processes.agent.sequencer import Sequencer
from saksi.processes.agent.sources import surroundings_of
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.proofs.tlog.note import NoteSigner
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput, SaksiError
from saksi.words.records import AgentFacts, AnyRecord, ApprovalRecord, AttemptKeyRecord, GapRecord, Peer, SealRecord
from saksi.words.run import origin_of

__all__ = ["NOT_OURS", "Served", "begin", "facts_of", "finish", "let_go"]

_logger = logging.getLogger(__name__)

UNSEEN: Final = "processes"
NOT_OURS: Final = "the agent's account starts no interpreter of the job's account, and so does not know its files"
NOT_VISIBLE: Final = (
    "the job's processes are not visible to the agent: they live beside its pid namespace, or /proc hides them"
)
CLOCK_SLACK_NS: Final = 60_000_000_000
"""A seal is made between the answer to its launcher and its arrival; clocks of one machine may jump a little."""


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt under watch, and what has to be closed behind it."""

    planned: Planned
    attempt: WatchedAttempt
    control: socket.socket
    scribe: Scribe
    store: QuotaStore
    checks: LiveChecks
    notices: Notices
    workers: tuple[AnchorWorker, ...]


def begin(
    place: NodeHome,
    keyring: Keyring,
    planned: Planned,
    statement: bytes,
    control: socket.socket,
    *,
    seal_file: bytes | None = None,
) -> Served:
    """Sign the seal that came for `planned`, and write the first records; durable on return. Raises `SaksiError`.

    `seal_file` is what the launcher says that it was asked for under.
    """
    sealed = msgspec.UNSET if seal_file is None else parse_seal_file(seal_file).file.environment_tree
    watch = Watch(question=None, sealed=sealed.digest, reason=NOT_OURS) if isinstance(sealed, EnvironmentTree) else None
    seal = parse_seal(statement)
    _require_own(seal, planned, place.clock.wall_ns())
    envelope = format_envelope(sign(IN_TOTO, statement, [keyring.signer]))
    store = QuotaStore(LocalStore(planned.folder), place.quota)
    signer = NoteSigner(origin_of(planned.run), os.urandom(32))
    checks = LiveChecks()
    about = About(run=planned.run, attempt=planned.number, name=seal.name, project=seal.project)
    notices = notices_of(place.hooks, about, severity=place.notify_from, clock=place.clock)
    workers: list[AnchorWorker] = []
    try:
        scribe = Scribe(
            run=planned.run,
            attempt=planned.number,
            clock=place.clock,
            store=store,
            open_log=lambda: Sequencer.open(store, origin_of(planned.run), signer, planned.previous_keys),
            checks=checks,
            announce=notices.offer,
            budget=place.waiting,
        )
        facts = facts_of(planned.account)
        _write_first(
            planned,
            scribe,
            signer=signer,
            installation=keyring.signer,
            envelope=envelope,
            facts=facts,
            seal_file=seal_file,
        )
        store.begun = True
        try:
            workers.extend(AnchorWorker(each, planned.run, clock=time.monotonic) for each in place.anchors)
            setup = _setup(place, planned, facts, tuple(workers), store.news)
            around = msgspec.structs.replace(surroundings_of(seal), root=planned.account.uid == 0)
            setup = msgspec.structs.replace(setup, environment=watch, own_code=around.own, around=around)
            attempt = WatchedAttempt(
                setup, clock=place.clock, scribe=scribe, listener=planned.listener, control=control
            )
        except BaseException as error:
            _tell_of_failure(scribe, error)
            raise
    except BaseException:
        for worker in workers:
            worker.close(0)
        notices.close(0)
        store.close()
        raise
    return Served(
        planned=planned,
        attempt=attempt,
        control=control,
        scribe=scribe,
        store=store,
        checks=checks,
        notices=notices,
        workers=tuple(workers),
    )


def _setup(
    place: NodeHome,
    planned: Planned,
    facts: AgentFacts,
    anchors: tuple[AnchorWorker, ...],
    news: Callable[[], str | None],
) -> AttemptSetup:
    account = planned.account
    return AttemptSetup(
        launcher=account.pid,
        account=account.uid,
        token=planned.token,
        redact=lambda command: list(redact_command(command)),
        anchors=anchors,
        notes=planned.notes if UNSEEN not in facts.not_checkable else (*planned.notes, facts.not_checkable[UNSEEN]),
        on_behalf_of=OnBehalf(account=account.uid, private=(place.home.root.resolve(),)),
        seen_from_here=lambda started: _seen_from_here(account.pid, started),
        news=news,
        shares_pids=len(pids_of(account.pid)) == 1,
    )


def _tell_of_failure(scribe: Scribe, error: BaseException) -> None:
    """The seal is in the log already, and nobody will watch: the record says why it has no end."""
    reason = printable(f"the agent could not watch the job: {type(error).__name__}: {error}")[:1024]
    scribe.write(GapRecord(reason=reason, since_wall_ns=None, **scribe.stamp()))
    scribe.commit()


def facts_of(peer: Peer) -> AgentFacts:
    """What is seen of the launcher from here, and what is not."""
    seen = read_process(peer.pid) if peer.pid else None
    hidden = hidden_of(peer.pid) if seen is not None else {UNSEEN: NOT_VISIBLE}
    own = os.geteuid()
    return AgentFacts(
        form="service",
        level=1 if peer.uid in (own, 0) else 2,  # root, and our own account, reach everything that is ours
        uid=own,
        account=peer.uid,
        launcher=peer,
        launcher_started_ticks=None if seen is None else seen.started_ticks,
        launcher_executable=None if seen is None else seen.executable,
        not_checkable=hidden,
    )


def finish(served: Served, *, home: Home) -> str:
    """Close the attempt and everything behind it; the closing sentence. Raises nothing that others should hear of."""
    planned = served.planned
    served.attempt.close()
    if served.notices:
        _tell_the_last(served)
    unsent = close_all(served.workers)
    sentence = served.checks.closing_sentence()
    if unsent:
        sentence += f", {unsent} anchor{'s' if unsent > 1 else ''} without the last head"
    if served.scribe.problem is not None:
        sentence += f", the log is not complete: {served.scribe.problem}"
    let_go(served)
    if planned.folder != home.run_folder(planned.run):
        try:
            move_home(planned.folder, home.run_folder(planned.run))
        except (SaksiError, OSError) as error:
            _logger.warning("run %s stays in %s for now: %s", planned.run, planned.folder, error)
    send(served.control, Closed(sentence=sentence))
    served.control.close()
    return sentence


def _tell_the_last(served: Served) -> None:
    """Findings that are known only now; the job's account does not hear whether the operator did."""
    for finding in served.checks.closing_findings():
        served.notices.offer(finding)
    untold = served.notices.close()
    if untold:
        _logger.warning("run %s: %d notices not delivered", served.planned.run, untold)


def let_go(served: Served) -> None:
    """Give the log's lock back, and remove the attempt's socket."""
    served.scribe.let_go()
    served.store.close()
    with contextlib.suppress(OSError):
        served.planned.path.unlink(missing_ok=True)


def _require_own(seal: Seal, planned: Planned, now_ns: int) -> None:
    if (seal.run, seal.attempt) != (planned.run, planned.number):
        raise MalformedInput("seal", f"it names run {seal.run}, attempt {seal.attempt}, which was not asked for")
    if not planned.asked_ns - CLOCK_SLACK_NS <= seal.created_ns <= now_ns + CLOCK_SLACK_NS:
        raise MalformedInput("seal", "it was not made now")
    if planned.earlier is not None and seal.name != planned.earlier.name:
        raise MalformedInput("seal", "it gives the run another name")
    for what, label in (("name", seal.name), ("project", seal.project)):
        if (
            label is not None
        ):  # as `saksi run` does: one could hide other runs, of this account and in the operator's list
            check_label(label, what=what)


def _write_first(
    planned: Planned,
    scribe: Scribe,
    *,
    signer: NoteSigner,
    installation: NoteSigner,
    envelope: bytes,
    facts: AgentFacts,
    seal_file: bytes | None,
) -> None:
    """The seal and the key, the key first where there is a log already, then the seal file and what differs from it."""
    head = scribe.head
    previous = None if head is None or head.size == 0 else head
    admission = admit(signer, installation, run=planned.run, attempt=planned.number, previous=previous)
    seal = SealRecord(envelope=str(sha256(envelope)), **scribe.stamp())
    key = AttemptKeyRecord(envelope=admission, agent=facts, **scribe.stamp())
    first: list[tuple[AnyRecord, bytes | None]] = [(seal, envelope), (key, None)]
    if previous is not None:
        first.reverse()
    if seal_file is not None:
        first.append((ApprovalRecord(envelope=str(sha256(seal_file)), **scribe.stamp()), seal_file))
    for record, content in first:
        scribe.write(record, block=content)
    if not scribe.commit():
        raise SaksiError(scribe.problem or "the log could not be begun")
    scribe.write_findings()  # what is not as approved stands in the record before the job starts
    scribe.commit()


def _seen_from_here(launcher: int, started: JobStarted) -> JobStarted:
    """The job may live in another pid namespace: its id as this agent sees it, 0 where it does not."""
    pid = pid_seen_from_here(launcher, started.pid)
    return msgspec.structs.replace(started, pid=pid)
