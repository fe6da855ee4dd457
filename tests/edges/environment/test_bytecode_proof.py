"""Bytecode against its source: what honest compilers write, what somebody forged, and what is meant to break us."""

from __future__ import annotations

import hashlib
import importlib.util
import marshal
import os
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edges.environment.environments import ENVIRONMENT, SGD, later
from recorder.interpreters import SINCE_3_9
from saksi.edges.environment import proof_child
from saksi.edges.environment.bytecode_proof import Limits, Prover, prove
from saksi.edges.environment.interpreter import describe
from saksi.judgement.environment.bytecode import Bytecode, Task

SAME = ("equal", "normalised")  # which of the two depends on what else a compiling process has interned
SETS = "def f(x):\n    return x in {'alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'}\n"


@pytest.fixture(scope="module")
def python():
    return describe(Path(sys.executable), ENVIRONMENT, cache=None, now_ns=later())


@pytest.fixture
def prover(python):
    made = Prover(python, ENVIRONMENT)
    yield made
    made.close()


def digest(path):
    return hashlib.sha256(path.read_bytes()).digest()


def task(folder, source, body=None, *, name="m", level=0, head=None):
    """A source and the `.pyc` beside it: what it compiles to, or `body`."""
    file, pyc = folder / f"{name}.py", folder / f"{name}.pyc"
    file.write_bytes(source if isinstance(source, bytes) else source.encode())
    if body is None:
        body = marshal.dumps(compile(file.read_bytes(), str(file), "exec", dont_inherit=True, optimize=level))
    pyc.write_bytes((head or importlib.util.MAGIC_NUMBER + b"\0" * 12) + body)
    bytecode = Bytecode(label="purelib", path=pyc.name, source=file.name, level=level, state="executed")
    return Task(bytecode, str(pyc), str(file), digest(pyc), digest(file))


def test_what_the_compiler_makes_is_equal(prover, tmp_path):
    for level in (0, 1, 2):
        assert prover.prove(task(tmp_path, SGD, level=level)).outcome in SAME
    latin = "# -*- coding: latin-1 -*-\nx = '\xe9'\n".encode("latin-1")
    assert prover.prove(task(tmp_path, latin)).outcome in SAME


def test_the_place_of_the_source_does_not_matter(prover, tmp_path):
    moved = marshal.dumps(compile(SGD, "/where/it/was/m.py", "exec", dont_inherit=True))
    assert prover.prove(task(tmp_path, SGD, moved)).outcome in SAME


def test_constants_in_another_order_are_the_same(prover, tmp_path):
    outcomes = set()
    for seed in range(6):
        code = f"import marshal,sys;sys.stdout.buffer.write(marshal.dumps(compile({SETS!r},'m.py','exec')))"
        body = subprocess.run(
            [sys.executable, "-S", "-c", code], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, check=True
        ).stdout
        outcomes.add(prover.prove(task(tmp_path, SETS, body)).outcome)
    assert "normalised" in outcomes
    assert outcomes <= {"equal", "normalised"}


@pytest.mark.parametrize(("written", "forged"), [
    ("x = 1\n", "x = True\n"), ("x = 0.0\n", "x = -0.0\n"), ("x = (1, 2)\n", "x = (2, 1)\n"),
    ("x = 'a'\n", "x = b'a'\n"), ("x = 1\n", "x = 1.0\n"), ("def f(a=1): pass\n", "def f(b=1): pass\n"),
    ("def f(): 1\n", "def f():\n    1\n"), ("x = a in {1, 2}\n", "x = a in {1, 3}\n"),
    ("def f(): return lambda: 1\n", "def f(): return lambda: 2\n"), ("x = 1\n", "x = 1; y = 2\n"),
])  # fmt: skip
def test_the_least_difference_is_one(prover, tmp_path, written, forged):
    body = marshal.dumps(compile(forged, "m.py", "exec", dont_inherit=True))
    proof = prover.prove(task(tmp_path, written, body))
    assert (proof.outcome, bool(proof.object), bool(proof.detail)) == ("differs", True, True)


def test_a_source_that_does_not_compile(prover, tmp_path):
    proof = prover.prove(task(tmp_path, "def (\n", marshal.dumps(compile("x", "m.py", "exec"))))
    assert (proof.outcome, proof.detail) == ("differs", "its source does not compile (SyntaxError)")


def long(count):
    return struct.pack("<i", count)


HOSTILE = {
    "nothing": b"",
    "noise": b"\xff\x00\x13" * 50,
    "cut short": marshal.dumps(compile(SGD, "m.py", "exec"))[:-9],
    "no code": marshal.dumps(("harmless", 1)),
    "deep": (b"(" + long(1)) * 200_000 + b"N",
    "deep and small": (b")\x01") * 1_000_000 + b"N",
    "a tuple of 2^31 values": b"(" + long(0x7FFF_FFFF),
    "a list of 2^31 values": b"[" + long(0x7FFF_FFFF),
    "a string of 2^31 bytes": b"s" + long(0x7FFF_FFFF),
    "a number of 2^31 digits": b"l" + long(0x7FFF_FFFF),
    "a negative length": b"(" + long(-5),
    "a reference to nothing": b"r" + long(77),
    "a list in itself": b"\xdb" + long(1) + b"r" + long(0),
    "a tuple in itself": b"\xa8" + long(1) + b"r" + long(0),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytecode_is_unreadable_and_the_rest_goes_on(prover, tmp_path, name):
    proof = prover.prove(task(tmp_path, SGD, HOSTILE[name], name="hostile"))
    assert proof.outcome in {"unreadable", "failed"}
    assert proof.detail
    assert prover.prove(task(tmp_path, SGD)).outcome in SAME


def test_a_file_that_takes_too_long_is_given_up_and_the_rest_goes_on(python, tmp_path):
    prover = Prover(python, ENVIRONMENT, Limits(seconds=1.0))
    slow = task(tmp_path, "a = 1\n" * 3_000_000, b"N", name="slow")
    proof = prover.prove(slow)
    assert (proof.outcome, proof.detail) == ("failed", "it was not compared within 1 s")
    prover._limits.seconds = 60.0
    assert prover.prove(task(tmp_path, SGD)).outcome in SAME
    prover.close()


def test_a_file_that_takes_too_much_memory(python, tmp_path):
    prover = Prover(python, ENVIRONMENT, Limits(memory=200 << 20))
    proof = prover.prove(task(tmp_path, "a = 1\n" * 1_000_000, b"N", name="large"))
    assert proof.outcome in {"unreadable", "failed", "differs"}
    assert prover.prove(task(tmp_path, SGD)).outcome in SAME
    prover.close()


@pytest.mark.parametrize(("text", "reason"), [
    ("printf saksi; kill -SEGV $$", "ended by signal 11"),
    ("printf saksi; exit 3", "comparing process ended"),
    ("printf saksi; exec sleep 60", "not compared within"),
    ("exec sleep 60", "not compared within"),
    ("printf hello", "did not start"),
    ("printf saksi; exec yes nonsense", "answered nonsense"),
    ("printf saksi; printf 'E\\377\\377\\377\\377\\0\\0\\0\\0'; exec sleep 60", "answered nonsense"),
])  # fmt: skip
def test_a_child_that_does_not_do_its_part(python, tmp_path, text, reason):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{text}\n")
    fake.chmod(0o755)
    other = msgspec.structs.replace(python, path=fake)
    made = task(tmp_path, SGD)
    (proof,) = prove([made], other, ENVIRONMENT, jobs=1, limits=Limits(seconds=0.5))
    assert (proof.outcome, reason in proof.detail) == ("failed", True), proof.detail


def test_an_interpreter_that_went_away(python, tmp_path):
    other = msgspec.structs.replace(python, path=tmp_path / "gone")
    (proof,) = prove([task(tmp_path, SGD)], other, ENVIRONMENT, jobs=4)
    assert (proof.outcome, proof.detail) == (
        "failed",
        "the interpreter could not be started: No such file or directory",
    )


def test_the_child_inherits_nothing_and_is_limited(python, tmp_path, monkeypatch):
    fake, seen = tmp_path / "python", tmp_path / "seen"
    fake.write_text(f'#!/bin/sh\nenv > {seen}\nls /proc/$$/fd >> {seen}\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    monkeypatch.setenv("SECRET", "1")
    prover = Prover(msgspec.structs.replace(python, path=fake), {**os.environ, "PYTHONPATH": "x"})
    assert prover.prove(task(tmp_path, SGD)).outcome in SAME
    os.close(secret)
    limits = Path(f"/proc/{prover._child.pid}/limits").read_text()
    assert "SECRET" not in seen.read_text()
    assert "PYTHONPATH" not in seen.read_text()
    assert str(secret) not in seen.read_text().splitlines()
    rows = {line[:26].strip(): line[26:].split()[0] for line in limits.splitlines()[1:]}
    assert rows["Max address space"] == str(4 << 30)
    assert (rows["Max file size"], rows["Max core file size"], rows["Max open files"]) == ("0", "0", "64")
    pid = prover._child.pid
    prover.close()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("interpreter", SINCE_3_9)
def test_every_interpreter_at_hand_compares_its_own(interpreter, tmp_path):
    python = describe(Path(interpreter), ENVIRONMENT, cache=None, now_ns=later())
    made = task(tmp_path, SGD)
    forged = task(tmp_path, SGD, name="forged")
    for each, text in ((made, SGD), (forged, SGD.replace("0.1", "0.2"))):
        code = f"import marshal,sys;sys.stdout.buffer.write(marshal.dumps(compile({text!r},'m.py','exec')))"
        body = subprocess.run([interpreter, "-I", "-S", "-c", code], capture_output=True, check=True).stdout
        Path(each.file).write_bytes(bytes.fromhex(python.file.magic) + b"\0" * 12 + body)
    tasks = [msgspec.structs.replace(each, digest=digest(Path(each.file))) for each in (made, forged)]
    proofs = prove(tasks, python, ENVIRONMENT, jobs=2)
    assert [each.outcome in SAME for each in proofs] == [True, False]
    assert proofs[1].outcome == "differs"


def test_the_child_compares_the_same_in_this_process(tmp_path):
    made = task(tmp_path, SGD)
    pyc = Path(made.file).read_bytes()
    assert proof_child.compare(SGD.encode(), pyc, 0, made.source_file)[0] in b"EN"
    other = proof_child.compare(SGD.replace("0.1", "0.2").encode(), pyc, 0, made.source_file)
    assert other[0] == b"D"
