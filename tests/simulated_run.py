"""A run in memory: what recorder and agent would have written for N ranks, signed, with named misbehaviours.

The twin that tests use in place of real training. Nothing here is shared with the code under test but the words and the
signers: frames are written as plain JSON, as the recorder does, and nothing is random.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from saksi.judgement.items import Item, read_items
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, sign
from saksi.proofs.attest.predicates import ATTEMPT_KEY, SEAL, AttemptKey
from saksi.proofs.attest.statement import ResourceDescriptor, format_statement, make_statement
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, sign_log_checkpoint
from saksi.proofs.tlog.merkle import leaf_hashes, root_of
from saksi.proofs.tlog.note_key import NoteSigner
from saksi.words.codec import encode_block_line, encode_record
from saksi.words.digest import Digest, sha256
from saksi.words.records import (
    AnyRecord,
    ApprovalRecord,
    AttachRecord,
    AttemptKeyRecord,
    BlockRecord,
    DetachRecord,
    ExitRecord,
    Peer,
    ProcessRecord,
    SealRecord,
)
from saksi.words.run import origin_of

RUN = "00112233445566aa"
INSTALLATION = NoteSigner("saksi/installation/tests", bytes(range(32)))
STRANGER = NoteSigner("saksi/installation/stranger", bytes(range(1, 33)))
BOOT = "5d3f4b9c-boot"
T0 = 1_700_000_000_000_000_000


class SealStandIn(msgspec.Struct, frozen=True):
    """The least a seal's predicate needs for a log to be judged: which run and attempt it is for."""

    run: str
    attempt: int
    command: tuple[str, ...] = ("python", "train.py")


def hex64(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def attempt_signer(run: str, attempt: int, key: int = 0) -> NoteSigner:
    return NoteSigner(origin_of(run), hashlib.sha256(f"{run}/{attempt}/{key}".encode()).digest())


@dataclass
class Connection:
    """One recorder's end of a connection: makes frames, chained and counted, and blocks of them."""

    owner: SimulatedRun
    number: int
    rank: int
    pid: int
    seq: int = 0
    prev: str = "0" * 64
    lost: int = 0
    pending: list[bytes] = field(default_factory=list)
    updates: dict[int, int] = field(default_factory=dict)
    frames: int = 0

    def frame(self, kind: str, **fields: Any) -> bytes:
        """The next frame's bytes, counted and chained."""
        clock = self.owner.tick()
        frame = {
            "kind": kind,
            "seq": self.seq,
            "prev": self.prev,
            "wall_ns": T0 + clock,
            "mono_ns": clock,
            "lost": self.lost,
        }
        raw = json.dumps(frame | fields, separators=(",", ":")).encode()
        self.seq += 1
        self.frames += 1
        self.prev = hashlib.sha256(raw).hexdigest()
        return raw

    def send(self, kind: str, **fields: Any) -> None:
        self.pending.append(self.frame(kind, **fields))

    def drop(self, kind: str, **fields: Any) -> None:
        """A frame that is made and dropped: it uses up its number and is counted."""
        kept = self.prev
        self.frame(kind, **fields)
        self.prev = kept
        self.lost += 1

    def update(self, *, optimizer: int = 0, **changes: Any) -> None:
        self.send("update", **self.next_update(optimizer=optimizer, **changes))

    def drop_update(self, *, optimizer: int = 0) -> None:
        self.drop("update", **self.next_update(optimizer=optimizer))

    def next_update(self, *, optimizer: int = 0, **changes: Any) -> dict[str, Any]:
        """The fields of the next update; the same in every run unless changed."""
        step = self.updates.get(optimizer, 0)
        self.updates[optimizer] = step + 1
        return update_fields(step, optimizer=optimizer, rank=self.rank) | changes

    def flush(self) -> None:
        """One block of what is pending."""
        if self.pending:
            self.owner.block(self, self.pending)
            self.pending = []

    def goodbye(self, exception: str | None = None) -> None:
        updates = [self.updates[each] for each in sorted(self.updates)]
        self.send("detach", updates=updates, frames=self.frames, self_ns=1000, exception=exception)
        self.flush()
        self.owner.detach(self, clean=True)

    def vanish(self) -> None:
        """The process ends without a goodbye."""
        self.flush()
        self.owner.detach(self, clean=False)


def update_fields(step: int, *, optimizer: int = 0, rank: int = 0) -> dict[str, Any]:
    digest = f"sha256:{hex64(f'batch {rank}/{step}')}"
    return {
        "optimizer": optimizer,
        "update": step,
        "skipped": False,
        "phase_ns": {"data": 1000, "compute": 9000, "optimizer": 500},
        "loss": 4.0 / (step + 1),
        "losses": 1,
        "groups": [{"lr": 0.001, "betas": [0.9, 0.999], "weight_decay": 0.01}],
        "groups_omitted": 0,
        "gradient_norm": {"value": 1.5, "max_norm": 1.0, "coefficient": 0.6666},
        "batches": [{"loader": 0, "ordinal": step, "digest": digest, "items": 2, "ids": [1, 2]}],
        "batches_omitted": 0,
        "rng": {
            "python": hex64("python"),
            "torch": hex64(f"torch{step}" if optimizer == 0 else f"torch{optimizer}/{step}"),
        },
        "fingerprints": [
            {
                "name": "sum64-4096",
                "over": "parameters",
                "share": 0,
                "of": 1,
                "start": hex64(f"after {step - 1}")[:32],
                "end": hex64(f"after {step}")[:32],
            }
        ],
        "inventory": hex64("inventory"),
        "self_ns": 100,
    }


ONE_TENSOR: dict[str, Any] = {
    "layout": "5a" * 16,
    "optimizer": 0,
    "rule": "torch.optim.sgd.SGD",
    "dtype": "torch.float32",
    "part": 0,
    "parts": 1,
    "tensors": [[0, 0, "weight", 1, 1]],
    "left_out": {},
    "key": "5b" * 32,
}
"""Samples of an optimizer that does what its rule makes of the values in `update_fields`, gradients clipped so."""


def honest_sample(step: int) -> dict[str, Any]:
    before, after = {"parameter": _packed(1.0), "gradient": _packed(1.0)}, {"parameter": _packed(1.0 - 0.001 * 1.01)}
    fields = {"layout": "5a" * 16, "optimizer": 0, "update": step, "idle": [], "finished": _packed(1.5)}
    return fields | {"before": before, "after": after}


def _packed(value: float) -> str:
    return base64.b64encode(struct.pack("<f", value)).decode()


def hello_fields(*, pid: int, rank: int, world_size: int, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "pid": pid,
        "ppid": 100,
        "rank": rank,
        "local_rank": rank,
        "world_size": world_size,
        "forked": False,
        "level": "standard",
        "python": "3.11.7",
        "implementation": "CPython",
        "executable": "/usr/bin/python3",
        "torch": "2.13.0",
        "threads": 1,
        "deterministic": False,
        "flags": {},
        "fingerprint_key": hex64(f"key {pid}"),
        "switched_off": False,
        "answers": True,
    } | changes


def live_fields(**changes: Any) -> dict[str, Any]:
    """An inventory of no code at all: nothing to be judged, and nothing that is missing."""
    return {
        "number": 0,
        "at": "first",
        "nonce": None,
        "step": -1,
        "part": 0,
        "parts": 1,
        "compared": 0,
        "omitted": 0,
        "files": [],
        "subjects": [],
        "flags": {},
    } | changes


class SimulatedRun:
    """Entries, blobs and heads of one run. Misbehaviours are the absence or change of a call."""

    def __init__(self, run: str = RUN, *, installation: NoteSigner = INSTALLATION, seal: bool = True) -> None:
        self.run = run
        self.installation = installation
        self.entries: list[bytes] = []
        self.blobs: dict[Digest, bytes] = {}
        self.attempt = 0
        self.signer = attempt_signer(run, 0)
        self._clock = 0
        self._connections = 0
        if seal:
            self.seal()
            self.admit()

    # -- the world

    def tick(self) -> int:
        self._clock += 1_000_000
        return self._clock

    def wait(self, seconds: int) -> None:
        self._clock += seconds * 1_000_000_000

    def stamp(self) -> dict[str, Any]:
        clock = self.tick()
        return {"run": self.run, "attempt": self.attempt, "wall_ns": T0 + clock, "mono_ns": clock, "boot": BOOT}

    def keep(self, content: bytes) -> Digest:
        digest = sha256(content)
        self.blobs[digest] = content
        return digest

    def blob(self, digest: Digest) -> bytes | None:
        return self.blobs.get(digest)

    # -- the agent

    def add(self, record: AnyRecord) -> int:
        self.entries.append(encode_record(record))
        return len(self.entries) - 1

    def seal(self, envelope: bytes | None = None) -> None:
        """The attempt's seal, or another envelope in its place."""
        digest = self.keep(self.seal_envelope() if envelope is None else envelope)
        self.add(SealRecord(**self.stamp(), envelope=str(digest)))

    def approve(self, content: bytes, *, keep: bool = True) -> int:
        """Names the seal file that the attempt was launched under."""
        digest = self.keep(content) if keep else sha256(content)
        return self.add(ApprovalRecord(**self.stamp(), envelope=str(digest)))

    def seal_envelope(self, signer: NoteSigner | None = None, run: str | None = None) -> bytes:
        subject = [ResourceDescriptor(name="train.py", digest={"sha256": hex64("train.py")})]
        statement = make_statement(subject, SEAL, SealStandIn(run or self.run, self.attempt))
        return format_envelope(sign(IN_TOTO, format_statement(statement), [signer or self.installation]))

    def admit(self, **changes: Any) -> None:
        """Signs the attempt's key in; a later one names the head it continues."""
        size = len(self.entries)
        continues = any(b'"kind":"attempt_key"' in entry for entry in self.entries)
        fields: dict[str, Any] = {
            "run": self.run,
            "attempt": self.attempt,
            "vkey": self.signer.vkey,
            "previous_size": size if continues else None,
            "previous_root": root_of(leaf_hashes(self.entries)).hex() if continues else None,
        }
        predicate = AttemptKey(**fields | changes)
        subject = [ResourceDescriptor(name=self.run, digest={"sha256": hex64(self.run)})]
        envelope = sign(IN_TOTO, format_statement(make_statement(subject, ATTEMPT_KEY, predicate)), [self.installation])
        self.add(AttemptKeyRecord(**self.stamp(), envelope=format_envelope(envelope).decode()))

    def resume(self, *, seal: bool = True) -> None:
        """The next attempt, under a key of its own and sealed anew."""
        self.attempt += 1
        self._connections = 0
        self.signer = attempt_signer(self.run, self.attempt)
        self.admit()
        if seal:
            self.seal()

    def attach(self, rank: int = 0, *, world_size: int = 1, pid: int | None = None, **hello: Any) -> Connection:
        pid = 4000 + rank if pid is None else pid
        connection = Connection(self, self._connections, rank, pid)
        self._greet(connection, world_size=world_size, **hello)
        return connection

    def reattach(
        self, earlier: Connection, *, undelivered: int = 0, rank: int | None = None, world_size: int = 1, **hello: Any
    ) -> Connection:
        """The process of `earlier` connects again: numbering from 0, `lost` and the counters of updates go on."""
        connection = Connection(self, self._connections, earlier.rank if rank is None else rank, earlier.pid)
        connection.lost = earlier.lost + undelivered
        connection.updates = dict(earlier.updates)
        connection.frames = earlier.frames
        self._greet(connection, world_size=world_size, **hello)
        return connection

    def _greet(self, connection: Connection, *, world_size: int, **hello: Any) -> None:
        pid, rank = connection.pid, connection.rank
        self._connections += 1
        connection.send("hello", **hello_fields(pid=pid, rank=rank, world_size=world_size, **hello))
        connection.send("live", **live_fields())
        self.add(
            AttachRecord(
                **self.stamp(),
                connection=connection.number,
                peer=Peer(pid=pid, uid=1000, gid=1000),
                rank=rank,
                claimed=msgspec.Raw(connection.pending[0]),
            )
        )

    def block(self, connection: Connection, frames: Iterable[bytes], *, keep: bool = True) -> int:
        lines = list(frames)
        parsed = [json.loads(each) for each in lines]
        content = b"".join(encode_block_line(T0 + self.tick(), each) for each in lines)
        digest = self.keep(content) if keep else sha256(content)
        steps = [each["update"] for each in parsed if each["kind"] == "update" and each["optimizer"] == 0]
        return self.add(
            BlockRecord(
                **self.stamp(),
                connection=connection.number,
                rank=connection.rank,
                blob=str(digest),
                size=len(content),
                frames=len(lines),
                first_seq=parsed[0]["seq"],
                last_seq=parsed[-1]["seq"],
                updates=sum(each["kind"] == "update" for each in parsed),
                first_step=min(steps, default=None),
                last_step=max(steps, default=None),
            )
        )

    def detach(self, connection: Connection, *, clean: bool) -> None:
        step = connection.updates.get(0, 0) - 1
        self.add(
            DetachRecord(
                **self.stamp(),
                connection=connection.number,
                peer=Peer(pid=connection.pid, uid=1000, gid=1000),
                rank=connection.rank,
                clean=clean,
                frames=connection.frames,
                lost=connection.lost,
                last_step=None if step < 0 else step,
            )
        )

    def process(self, pid: int = 5000, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "event": "seen",
            "pid": pid,
            "ppid": 100,
            "started_ticks": 77,
            "executable": "/usr/bin/python3",
            "command": ["python3", "-I", "train.py"],
            "uid": 1000,
            "torch": True,
            "attached": False,
            "forked": False,
        }
        self.add(ProcessRecord(**self.stamp(), **fields | changes))

    def exit(self, code: int | None = 0, signal: int | None = None, reason: str = "ended") -> None:
        self.add(
            ExitRecord(
                **self.stamp(),
                pid=4000,
                code=code,
                signal=signal,
                started_wall_ns=T0,
                elapsed_ns=self._clock,
                left_running=0,
                reason=reason,
            )
        )

    def never_started(self, reason: str = "not started: --require, and it is not what was approved") -> None:
        """The attempt ends before its command: it was refused, or could not be executed."""
        nothing = {"pid": 0, "code": None, "signal": None, "started_wall_ns": 0, "elapsed_ns": 0, "left_running": 0}
        self.add(ExitRecord(**self.stamp(), **nothing, reason=reason))

    # -- what readers get

    def items(self) -> list[Item]:
        return list(read_items(self.entries, self.blob))

    def head(self, size: int | None = None, signer: NoteSigner | None = None) -> bytes:
        """The signed head over the first `size` entries."""
        entries = self.entries if size is None else self.entries[:size]
        root = root_of(leaf_hashes(entries))
        log_checkpoint = LogCheckpoint(origin=origin_of(self.run), size=len(entries), root=root)
        return sign_log_checkpoint(log_checkpoint, signer or self.signer)


def honest_run(*, run: str = RUN, ranks: int = 1, steps: int = 6, block: int = 2) -> SimulatedRun:
    """Every rank trains, says goodbye and ends with 0."""
    simulated = SimulatedRun(run)
    train(simulated, ranks=ranks, steps=steps, block=block)
    simulated.exit()
    return simulated


def run_with_other_bytes() -> SimulatedRun:
    """One frame names other bytes before it than those that came."""
    simulated = SimulatedRun()
    connection = simulated.attach()
    connection.update()
    connection.prev = "f" * 64
    connection.update()
    connection.goodbye()
    simulated.exit()
    return simulated


def train(
    simulated: SimulatedRun,
    *,
    ranks: int = 1,
    steps: int = 6,
    block: int = 2,
    altered: Mapping[int, Mapping[str, object]] = MappingProxyType({}),
) -> None:
    """One attempt's training, blocks of `block` updates, ranks in turn; `altered[step]` are fields of an update."""
    connections = [simulated.attach(rank, world_size=ranks) for rank in range(ranks)]
    for each in connections:
        each.send("seeded", generator="torch", seed="1337", caller="train.py:3")
        each.send(
            "optimizer",
            ordinal=0,
            class_name="torch.optim.adamw.AdamW",
            file="adamw.py",
            groups=1,
            tensors=4,
            defaults={},
        )
        each.send("sampled", **ONE_TENSOR)
    for step in range(steps):
        for each in connections:
            each.send("sample", **honest_sample(step))
            each.update(**altered.get(step, {}))
            if step % block == block - 1:
                each.flush()
    for each in connections:
        each.goodbye()
