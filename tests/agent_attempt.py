"""A real embedded agent around a real process, with a recorder played by the test."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

from saksi.edges.clock import SystemClock
from saksi.edges.store.local import LocalStore
from saksi.processes.agent.control import Closed, JobExited, JobStarted, Ready, Stop, receive_from_agent, send
from saksi.processes.agent.embedded import EmbeddedSetup, start_embedded
from saksi.proofs.journal import parse_journal
from saksi.proofs.tlog.note import NoteSigner
from saksi.words.codec import decode_record
from simulated_run import hello_fields, update_fields

RUN = "00112233445566ff"
LEAN = {"gradient_norm": None, "batches": [], "rng": {}, "fingerprints": []}  # many updates fit a socket's buffer


class FakeRecorder:
    """Speaks the frame protocol over a socket, honestly unless told otherwise."""

    def __init__(self, path, token):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.socket.connect(str(path))
            self.socket.send(b"saksi-knock/v1 " + token.encode())
        except OSError:  # turned away at the door
            self.socket.close()
            raise
        self.seq = 0
        self.prev = "0" * 64

    def say(self, kind, **fields):
        frame = {"kind": kind, "seq": self.seq, "prev": self.prev, "wall_ns": 1, "mono_ns": 1, "lost": 0, **fields}
        raw = json.dumps(frame, separators=(",", ":")).encode()
        self.socket.send(raw)
        self.seq += 1
        self.prev = hashlib.sha256(raw).hexdigest()
        return raw

    def hello(self, **changed):
        return self.say("hello", **hello_fields(pid=os.getpid(), rank=0, world_size=1) | changed)

    def update(self, step, **changed):
        return self.say("update", **update_fields(step) | LEAN | changed)

    def detach(self, updates):
        return self.say("detach", updates=updates, frames=self.seq + 1, self_ns=1, exception=None)

    def close(self):
        self.socket.close()


class Attempt:
    """One attempt: agent, job, and afterwards the log."""

    def __init__(
        self, tmp_path: Path, *, folder: Path | None = None, number: int = 0, previous_keys=(), notes=(), seal=b"{}",
        environment=None,
    ):  # fmt: skip
        self.folder = folder or tmp_path / "runs" / RUN
        self.token = secrets.token_hex(32)
        self.socket_path = tmp_path / f"agent-{number}.sock"
        self.installation = NoteSigner("installation", b"\1" * 32)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(str(self.socket_path))
        listener.listen(64)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20)
        setup = EmbeddedSetup(
            run=RUN, attempt=number, folder=self.folder, home_folder=self.folder, seal_envelope=seal,
            installation=self.installation, previous_keys=previous_keys, token=self.token, launcher=os.getpid(),
            anchors=(), kept=None, redact=list, notes=notes, environment=environment,
        )  # fmt: skip
        self.pid = start_embedded(setup, clock=SystemClock(), listener=listener, theirs=theirs, ours=self.control)
        listener.close()
        theirs.close()
        ready = receive_from_agent(self.control)
        assert isinstance(ready, Ready)
        self.problem = ready.problem
        self.job = None
        self.recorders = []
        if self.problem is not None:
            self.control.close()

    def start_job(self, *command):
        self.job = subprocess.Popen(command or (sys.executable, "-c", "import time; time.sleep(60)"))
        self.started = time.monotonic_ns()
        send(self.control, JobStarted(pid=self.job.pid, wall_ns=time.time_ns(), mono_ns=self.started))

    def recorder(self):
        recorder = FakeRecorder(self.socket_path, self.token)
        self.recorders.append(recorder)
        return recorder

    def end(self, *, kill=True):
        for recorder in self.recorders:
            recorder.close()
        if self.job is None:
            send(self.control, Stop(reason="never started"))
        else:
            if kill:
                self.job.terminate()
            code = self.job.wait()
            send(
                self.control,
                JobExited(
                    code=code if code >= 0 else None,
                    signal=-code if code < 0 else None,
                    elapsed_ns=time.monotonic_ns() - self.started,
                ),
            )
        closed = receive_from_agent(self.control)
        assert isinstance(closed, Closed)
        self.control.close()
        os.waitpid(self.pid, 0)
        return closed.sentence

    def records(self, kind=object):
        """The records in the log, or those of one kind."""
        entries = parse_journal(LocalStore(self.folder).journal()).entries
        return [record for record in map(decode_record, entries) if isinstance(record, kind)]
