"""Comparing bytecode with its source, in limited processes of the environment's own interpreter.

Rules:

- saksi never loads bytecode. A child does, without arguments of ours, environment, open files or the right to write
  one; its memory and processor time are limited, and each file has a deadline. It answers with bytes that are parsed.
- A child that crashes, hangs or answers nonsense is replaced; the file that it had is `failed`, the rest goes on.
- What is compared is what was hashed: a file with another digest is `changed`.
- Equal pairs are remembered by the digests of source, bytecode and interpreter, so that only new ones cost anything.

BUG: the child runs the interpreter that is being judged. One that was itself exchanged can answer what it likes; its
digest is in the report, and a manifest says whether it is the right one.
"""

from __future__ import annotations

import hashlib
import os
import queue
import resource
import select
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from saksi.edges.environment import proof_child
from saksi.edges.environment.interpreter import Python
from saksi.edges.environment.isolated import ISOLATED, isolated_environment
from saksi.edges.environment.tree import Progress, silent
from saksi.judgement.environment.bytecode import HEADER_BYTES, Outcome, Proof, Task

__all__ = ["Limits", "Prover", "proof_key", "prove"]

VERSION: Final = b"saksi.proof/v1"
SECONDS: Final = 60.0
"""For one file; the largest module of torch takes 2 s to compile on a loaded core."""
MEMORY: Final = 4 << 30
"""Of address space; compiling a source of 10 MB takes about 2 GB."""
CPU_SECONDS: Final = 3600
MAX_SOURCE: Final = 64 * 1024 * 1024
_OUTCOMES: Final[Mapping[bytes, Outcome]] = {
    b"E": "equal",
    b"N": "normalised",
    b"S": "stale",
    b"D": "differs",
    b"U": "unreadable",
    b"G": "failed",
}
_FILES: Final = 64
"""A source that is not UTF-8 makes the compiler import its encoding from the standard library."""
_HELLO: Final = b"saksi"
_CHUNK: Final = 1 << 16


class _Failed(Exception):
    """The child did not do its part; the text says how."""


class Limits:
    """What one child may use: a value of its own, so that a test need not wait for a minute."""

    def __init__(self, *, seconds: float = SECONDS, memory: int = MEMORY, cpu_seconds: int = CPU_SECONDS) -> None:
        self.seconds = seconds
        self.memory = memory
        self.cpu_seconds = cpu_seconds


class Prover:
    """One child, started when it is needed and again after it failed. Not for two threads at once."""

    def __init__(
        self,
        python: Python,
        environment: Mapping[str, str],
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._python = python
        self._limits = limits or Limits()
        self._clock = clock
        self._environment = isolated_environment(environment)
        self._child: subprocess.Popen[bytes] | None = None

    def prove(self, task: Task) -> Proof:
        """What the comparison of one file came to. Never raises for what it finds."""
        bytecode = task.bytecode
        try:
            pyc, source = _whole(task.file), _whole(task.source_file)
        except OSError as error:
            return Proof(bytecode=bytecode, outcome="failed", detail=error.strerror or type(error).__name__)
        if _sha256(pyc) != task.digest or _sha256(source) != task.source_digest:
            return Proof(bytecode=bytecode, outcome="changed", detail="it changed while it was judged")
        if len(pyc) <= HEADER_BYTES:
            return Proof(bytecode=bytecode, outcome="unreadable", detail="there is nothing behind its header")
        name = os.fsencode(task.source_file)
        head = proof_child.REQUEST.pack(1, bytecode.level, len(name), len(source), len(pyc))
        try:
            outcome, where, detail = self._ask(head + name + source + pyc)
        except _Failed as reason:
            self.close()
            return Proof(bytecode=bytecode, outcome="failed", detail=str(reason))
        return Proof(bytecode=bytecode, outcome=outcome, object=where or None, detail=detail or None)

    def _ask(self, request: bytes) -> tuple[Outcome, str, str]:
        deadline = self._clock() + self._limits.seconds
        if self._child is None:
            self._child = self._start()
            if self._exchange(b"", len(_HELLO), deadline) != _HELLO:
                raise _Failed("the comparing process did not start")
        answer = self._exchange(request, proof_child.ANSWER.size, deadline)
        letter, object_length, detail_length, line = proof_child.ANSWER.unpack(answer)
        limit = proof_child.MAX_TEXT
        if letter not in _OUTCOMES or object_length > limit or detail_length > limit:
            raise _Failed("the comparing process answered nonsense")
        rest = self._exchange(b"", object_length + detail_length, deadline)
        if not rest.isascii():
            raise _Failed("the comparing process answered nonsense")
        where, detail = rest[:object_length].decode("ascii"), rest[object_length:].decode("ascii")
        return _OUTCOMES[letter], where, f"{detail} (line {line})" if line else detail

    def _start(self) -> subprocess.Popen[bytes]:
        text = Path(proof_child.__file__).read_text("utf-8")
        try:
            child = subprocess.Popen(
                [self._python.path, *ISOLATED, "-c", text],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                cwd="/",
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise _Failed(f"the interpreter could not be started: {error.strerror}") from None
        # From here, not by the child itself: what it loads must not be able to take them back.
        with suppress(OSError, ValueError):
            for kind, value in (
                (resource.RLIMIT_AS, self._limits.memory),
                (resource.RLIMIT_CPU, self._limits.cpu_seconds),
                (resource.RLIMIT_FSIZE, 0),
                (resource.RLIMIT_NOFILE, _FILES),
                (resource.RLIMIT_CORE, 0),
            ):
                resource.prlimit(child.pid, kind, (value, value))
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
        return child

    def _exchange(self, request: bytes, length: int, deadline: float) -> bytes:
        """Send everything, receive exactly `length` bytes. Raises `_Failed`."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            raise _Failed("the comparing process ended")
        sending, answer = memoryview(request), b""
        while sending or len(answer) < length:
            poll = select.poll()
            if len(answer) < length:
                poll.register(child.stdout, select.POLLIN)
            if sending:
                poll.register(child.stdin, select.POLLOUT)
            ready = poll.poll(max(0, (deadline - self._clock()) * 1000))
            if not ready:
                raise _Failed(f"it was not compared within {self._limits.seconds:.0f} s")
            try:
                for descriptor, _ in ready:
                    if descriptor == child.stdin.fileno():
                        sending = sending[os.write(descriptor, sending[:_CHUNK]) :]
                        continue
                    received = os.read(descriptor, length - len(answer))
                    if not received:
                        raise _Failed(self._ended(child))
                    answer += received
            except BlockingIOError:
                continue
            except OSError:
                raise _Failed(self._ended(child)) from None
        return answer

    def _ended(self, child: subprocess.Popen[bytes]) -> str:
        try:
            code = child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "the comparing process closed its answers"
        return f"the comparing process was ended by signal {-code}" if code < 0 else "the comparing process ended"

    def close(self) -> None:
        """End the child, if there is one."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(OSError):
            child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def _whole(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, opened without blocking
        content = file.read(MAX_SOURCE + 1)
    if len(content) > MAX_SOURCE:
        raise OSError(0, f"more than {MAX_SOURCE:,} bytes are not compiled")
    return content


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def proof_key(task: Task, interpreter: str) -> bytes:
    """What a proof is remembered by."""
    name = f"{interpreter} {task.bytecode.level}\0".encode()
    return hashlib.sha256(VERSION + name + task.source_digest + task.digest).digest()


def prove(
    tasks: Sequence[Task],
    python: Python,
    environment: Mapping[str, str],
    *,
    jobs: int,
    limits: Limits | None = None,
    progress: Progress = silent,
) -> list[Proof]:
    """Every task's proof, in their order, by `jobs` children at a time."""
    idle: queue.SimpleQueue[Prover] = queue.SimpleQueue()
    provers = [Prover(python, environment, limits) for _ in range(max(1, min(jobs, len(tasks))))]
    for each in provers:
        idle.put(each)

    def one(task: Task) -> Proof:
        prover = idle.get()
        try:
            return prover.prove(task)
        finally:
            idle.put(prover)

    pool = ThreadPoolExecutor(len(provers), thread_name_prefix="saksi-proof")
    try:
        futures = [pool.submit(one, task) for task in tasks]
        return [each.result() for each in progress(futures, "comparing bytecode with its source")]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for each in provers:
            each.close()
