"""Every other parser that reads bytes others made: 10,000 inputs that are nearly right for each.

Only the project's own errors come out, and what is accepted is exactly what stands there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
from random import Random

import msgspec
import pytest

from fuzz.seeded import INPUTS, SEED, members_changed, mutated, nearly
from judgement.seals import CREATOR, MARIA, plain_seal, plain_seal_file, signed_file
from saksi.edges.keys import _secret, read_trust_file
from saksi.judgement.approvals import Approvers, signatures_of
from saksi.judgement.bundle import TAIL_BYTES, pack, unpack
from saksi.judgement.configuration import Configuration, parse_configuration
from saksi.judgement.doctor.notes import read_notes
from saksi.judgement.environment.record_file import parse_record
from saksi.judgement.replay.naming import parting_of
from saksi.judgement.replay.transcript import Function, Operation, parse_transcript
from saksi.judgement.seal import make_statement, parse_seal
from saksi.judgement.seal_file import EnvironmentTree, format_seal_file, make_file_statement, parse_seal_file
from saksi.processes.agent.control import (
    Closed,
    JobExited,
    JobStarted,
    Ready,
    SignalSeen,
    Stop,
    receive_from_agent,
    receive_from_launcher,
)
from saksi.proofs.attest.envelope import IN_TOTO, format_envelope, parse_envelope, sign, verify
from saksi.proofs.attest.predicates import AttemptKey, parse_attempt_key
from saksi.proofs.attest.statement import format_statement, parse_statement
from saksi.proofs.journal import encode_frames, parse_journal
from saksi.proofs.projection import Projection
from saksi.proofs.tlog.cosignature import cosign, verify_cosignatures
from saksi.proofs.tlog.log_checkpoint import format_log_checkpoint, open_log_checkpoint, parse_log_checkpoint
from saksi.proofs.tlog.merkle import hash_reader, inclusion_proof, leaf_hashes
from saksi.proofs.tlog.note import format_note, parse_note
from saksi.proofs.tlog.note_key import NoteSigner, enrol, format_verifier_key, parse_verifier_key
from saksi.proofs.tlog.private_key import format_private_key, parse_private_key
from saksi.proofs.tlog.proof_file import TlogProof, format_proof_file, parse_proof_file, verify_proof_file
from saksi.proofs.tlog.signature_types import COSIGNATURE
from saksi.proofs.tlog.tiles import (
    ENTRIES,
    Tile,
    decode_bundle,
    encode_bundle,
    hash_from_tiles,
    parse_tile_path,
    tile_path,
)
from saksi.words.codec import decode_block, decode_frame, decode_record, encode_record
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput, SaksiError, StoreError, UsageError
from saksi.words.records import Peer
from simulated_run import INSTALLATION, SimulatedRun, attempt_signer, honest_run

RUN = honest_run(ranks=2, steps=4)
HEAD = RUN.head()
KEYS = [RUN.signer.key]
COSIGNER = NoteSigner("cosigner", bytes(range(2, 34)), algorithm=COSIGNATURE)
LEAVES = leaf_hashes(RUN.entries)


def accepted(content_of, seeds, *, refusals=SaksiError):
    """Feeds `content_of` what is nearly one of `seeds`; it returns whether what it read is what stands there.

    How many were accepted, each of them as it stands there; all others were refused as they should be.
    """
    random = Random(f"{SEED} {seeds[0]!r}")
    count = 0
    for content in nearly(random, seeds):
        try:
            same = content_of(content)
        except refusals:
            continue
        assert same, content
        count += 1
    return count


def test_block_lines():
    def read(content):
        for _, raw, frame in decode_block(content):
            assert decode_frame(raw) == frame
        return True

    assert 0 < accepted(read, list(RUN.blobs.values())[1:]) < INPUTS


def test_record_entries():
    assert 0 < accepted(lambda content: encode_record(decode_record(content)) == content, RUN.entries) < INPUTS


def test_journals():
    staged = [encode_frames(0, RUN.entries), encode_frames(0, RUN.entries[:3]) + encode_frames(3, RUN.entries[3:5])]

    def read(content):
        contents = parse_journal(content)
        assert (contents.torn is None) == (contents.good_length == len(content))
        return parse_journal(content[: contents.good_length]) == contents._replace(torn=None)

    random = Random(SEED)
    for content in nearly(random, staged):
        assert read(content)
        header = content[:24]
        body = header + content[24:-32]
        assert read(body + hashlib.sha256(body).digest())


def test_notes_and_log_checkpoints():
    notes = [HEAD, cosign(HEAD, COSIGNER, timestamp=7)]

    def read(content):
        note = parse_note(content)
        assert format_note(note) == content
        with contextlib.suppress(SaksiError):
            assert open_log_checkpoint(content, KEYS).size == len(RUN.entries)
        with contextlib.suppress(SaksiError):
            verify_cosignatures(content, [COSIGNER.key])
        return True

    assert 0 < accepted(read, notes) < INPUTS


def test_texts_of_log_checkpoints():
    texts = [parse_note(HEAD).text.encode(), b"origin\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nmore\n"]
    assert (
        0
        < accepted(lambda content: format_log_checkpoint(parse_log_checkpoint(latin(content))) == latin(content), texts)
        < INPUTS
    )


def latin(content):
    return content.decode("latin-1")


def test_paths_of_tiles():
    paths = [tile_path(each).encode() for each in (Tile(0, 0), Tile(3, 1_234_067, 8), Tile(ENTRIES, 999_999, 255))]
    assert 0 < accepted(lambda content: tile_path(parse_tile_path(latin(content))) == latin(content), paths) < INPUTS


def test_bundles_of_entries():
    bundles = [encode_bundle(RUN.entries), encode_bundle([b"", b"x"])]
    assert 0 < accepted(lambda content: encode_bundle(decode_bundle(content)) == content, bundles) < INPUTS


def test_tiles_of_hashes():
    simulated = SimulatedRun()
    for pid in range(300):
        simulated.process(pid=pid + 1)
    size, leaves = len(simulated.entries), leaf_hashes(simulated.entries)
    projection = Projection()
    stored = dict((*projection.add(simulated.entries), *projection.partials()))
    tile = f"log/{tile_path(Tile(0, 0))}"
    honest = inclusion_proof(index=3, size=size, read_hash=hash_reader(leaves))

    def read(content):
        read_hash = hash_from_tiles(
            lambda each: content if each == Tile(0, 0) else stored[f"log/{tile_path(each)}"], size
        )
        proof = inclusion_proof(index=3, size=size, read_hash=read_hash)
        return content != stored[tile] or proof == honest

    assert 0 < accepted(read, [stored[tile]]) < INPUTS


def test_proof_files():
    files = [
        format_proof_file(
            TlogProof(
                index=index,
                proof=tuple(inclusion_proof(index=index, size=len(LEAVES), read_hash=hash_reader(LEAVES))),
                log_checkpoint=HEAD,
                extra=extra,
            )
        )
        for index, extra in ((2, None), (5, b"extra"))
    ]

    def read(content):
        with contextlib.suppress(SaksiError):
            verify_proof_file(content, entry=RUN.entries[2], keys=KEYS)
        return format_proof_file(parse_proof_file(content)) == content

    assert 0 < accepted(read, files) < INPUTS


def test_envelopes():
    envelopes = [RUN.seal_envelope(), format_envelope(sign("text/plain", b"x", [INSTALLATION, RUN.signer]))]

    def read(content):
        envelope = parse_envelope(content)
        with contextlib.suppress(SaksiError):
            verify(envelope, [INSTALLATION.key])
        return parse_envelope(format_envelope(envelope)) == envelope

    assert 0 < accepted(read, envelopes) < INPUTS


def test_statements():
    statements = [make_statement(plain_seal()), parse_envelope(RUN.seal_envelope()).payload]

    def read(content):
        statement = parse_statement(content)
        again = parse_statement(format_statement(statement))
        return (again.subject, again.predicate_type) == (statement.subject, statement.predicate_type)

    assert 0 < accepted(read, statements) < INPUTS


def test_seals():
    assert (
        0
        < accepted(lambda content: make_statement(parse_seal(content)) == content, [make_statement(plain_seal())])
        < INPUTS
    )


def test_seal_files():
    file = plain_seal_file()
    whole = plain_seal_file(environment_tree=EnvironmentTree(digest=str(sha256(b"tree")), files=3))
    files = [signed_file(file, CREATOR, MARIA).content, signed_file(whole).content]

    def read(content):
        signed = parse_seal_file(content)
        signatures_of(signed.envelope, Approvers(approvers=(MARIA.key,), known=(CREATOR.key,)))
        return format_seal_file(signed.envelope).content == content == signed.content

    assert 0 < accepted(read, files) < INPUTS


def test_statements_of_seal_files():
    """Under a signature that holds, so that what is behind it is read too."""
    payload = make_file_statement(plain_seal_file())

    def read(content):
        signed = parse_seal_file(format_envelope(sign(IN_TOTO, content, [CREATOR])) + b"\n")
        return make_file_statement(signed.file) == content

    random = Random(SEED)
    assert read(payload)
    for _ in range(2_000):
        with contextlib.suppress(SaksiError):
            assert read(members_changed(random, payload))
        with contextlib.suppress(SaksiError):
            assert read(mutated(random, payload))


def test_private_keys():
    texts = [format_private_key(name, bytes(range(32))).encode() for name in ("maria", "a/b", "x" * 255)]

    def read(content):
        signer = parse_private_key(latin(content))
        return format_private_key(signer.name, bytes(range(32))) == latin(content)

    assert 0 < accepted(read, texts) < INPUTS


def test_attempt_keys():
    vkey = attempt_signer(RUN.run, 1).vkey
    predicates = [
        msgspec.json.encode(AttemptKey(run=RUN.run, attempt=0, vkey=vkey)),
        msgspec.json.encode(AttemptKey(run=RUN.run, attempt=1, vkey=vkey, previous_size=3, previous_root="0" * 64)),
    ]

    def read(content):
        key = parse_attempt_key(content)
        return parse_attempt_key(msgspec.json.encode(key)) == key

    assert 0 < accepted(read, predicates) < INPUTS


@pytest.mark.slow
def test_bundles():
    """With a last line that names the changed bytes, so that what is behind it is read too."""
    whole = pack(run=RUN.run, head=HEAD, entries=RUN.entries, blobs=RUN.blobs)
    head, manifest, rest = whole[:-TAIL_BYTES].split(b"\n", 2)

    def read(content):
        unpacked = unpack(content)
        return pack(run=unpacked.run, head=unpacked.head, entries=unpacked.entries, blobs=unpacked.blobs) == content

    random = Random(SEED)
    count = 0
    for _ in range(INPUTS):
        lines = [head, manifest, rest]
        if random.random() > 0.02:
            which = random.choice((0, 1, 1, 2))
            lines[which] = mutated(random, lines[which])
        if random.random() < 0.5:
            lines[1] = renewed(lines[1], lines[2])
        body = b"\n".join(lines)
        with contextlib.suppress(SaksiError):
            assert read(body + hashlib.sha256(body).hexdigest().encode() + b" saksi-bundle\n")
            count += 1
        with contextlib.suppress(SaksiError):
            assert read(mutated(random, whole))
    assert count > 0


def renewed(manifest, rest):
    """A manifest whose digests are those of the bytes that follow, where it still can be read."""
    try:
        listed = msgspec.json.decode(manifest)
        at = 0
        for member in listed["members"]:
            member["sha256"] = hashlib.sha256(rest[at : at + member["size"]]).hexdigest()
            at += member["size"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError, KeyError):
        return manifest
    return msgspec.json.encode(listed)


def test_transcripts_of_steps():
    function = Function(number=0, file="/a/b.py", within="b.py", name="f", code="a" * 32, line=3)
    tensors = (("0.weight", "float32[2]", "b" * 32), ("", "int64[]", "?"))
    operation = Operation(op="aten::add_", args=("alpha=1",), ins=tensors, outs=tensors, module="0", stack=((0, 4),))
    begin, end = b'{"kind":"transcript","version":1}', b'{"kind":"end","operations":1}'
    content = b"\n".join([begin, msgspec.json.encode(function), msgspec.json.encode(operation), end])

    def read(content):
        found = parse_transcript(content)
        assert parting_of(found, found) is None
        return all(number < len(found.functions) for each in found.operations for number, _ in each.stack)

    assert 0 < accepted(read, [content], refusals=MalformedInput) < INPUTS


def test_notes_for_the_doctor():
    step = b'{"step":-1,"kind":'
    lines = [
        step + b'"began","rank":0,"world_size":1,"threads":1,"deterministic":false,"compiled":false}',
        step + b'"restored","generator":"torch","state":"0a","at":"/train.py:3"}',
        step + b'"iterated","workers":2,"own":false,"drew":true,"at":null}',
        b'{"step":2,"kind":"saved","path":"/ckpt.pt","members":[["data/0",7,5]]}',
    ]

    def read(content):
        return len(read_notes(content)) <= len(content.splitlines())

    assert accepted(read, [b"\n".join(lines)], refusals=()) == INPUTS  # what does not parse is left out


def test_lists_of_installed_files():
    record = (
        b"a/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\r\n"
        b'"a, b.py",,\n../../../bin/x,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,12\na-1.dist-info/RECORD,,\n'
    )

    def read(content):
        rows = parse_record(content)
        written = "".join(f'"{each.path.replace(chr(34), chr(34) * 2)}",,\n' for each in rows)
        return [each.path for each in parse_record(written.encode())] == [each.path for each in rows]

    assert 0 < accepted(read, [record], refusals=MalformedInput) < INPUTS


def test_configurations():
    files = [
        b'name = "baseline"\nproject = "gpt"\nlevel = "full"\nsegment = 50\n',
        b'[[expect]]\ncode = "state.changed_between_steps"\nsteps = ["1-9", 20]\nevery = 2\nwhy = "Pruned by hand."\n',
        b'[tool.saksi]\nlevel = "standard"\nsegment = 1_000\n[tool.other]\nat = 1979-05-27T07:32:00Z\nx = [1, 2e3]\n',
    ]

    def read(content):
        found = (
            parse_configuration(content, where="saksi.toml"),
            parse_configuration(content, where="pyproject.toml", table=("tool", "saksi")),
        )
        return all(each is None or isinstance(each, Configuration) for each in found)

    assert 0 < accepted(read, files, refusals=UsageError) < INPUTS
    random = Random(SEED)
    for content in nearly(random, files[-1:]):
        with contextlib.suppress(UsageError):
            parse_configuration(content, where="pyproject.toml", table=("tool", "saksi"))


def test_verifier_keys():
    texts = [each.vkey.encode() for each in (INSTALLATION, COSIGNER, RUN.signer)]

    def read(content):
        with contextlib.suppress(SaksiError):
            enrol(latin(content))
        return format_verifier_key(parse_verifier_key(latin(content))) == latin(content)

    assert 0 < accepted(read, texts) < INPUTS


@pytest.fixture
def rewritten(tmp_path):
    """A function that writes a private file anew. In place: what cuts a file to nothing first waits for the disk."""
    path = tmp_path / "file"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def rewrite(content):
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, len(content))
        return path

    yield rewrite
    os.close(descriptor)


def test_files_of_trusted_keys(rewritten):
    vkeys = [each.vkey for each in (INSTALLATION, COSIGNER)]

    def read(content):
        return all(enrol(str(each)) == each for each in read_trust_file(rewritten(content)))

    assert (
        0
        < accepted(
            read, ["# ours\n{}\n\n{}\r\n".format(*vkeys).encode(), f"{vkeys[0]}\n".encode()], refusals=UsageError
        )
        < INPUTS
    )


def test_files_of_secrets(rewritten):
    def read(content):
        return _secret(rewritten(content), os.urandom).hex() == content.decode().strip()

    assert 0 < accepted(read, [b"ab" * 32 + b"\n", b"0123456789abcdef" * 4], refusals=StoreError) < INPUTS


@pytest.mark.parametrize(
    ("receive", "messages"),
    [
        (
            receive_from_launcher,
            (
                JobStarted(pid=4711, wall_ns=1, mono_ns=2),
                SignalSeen(signal="SIGTERM", forwarded=True, sender=Peer(pid=1, uid=0, gid=0)),
                JobExited(code=None, signal=9, elapsed_ns=5),
                Stop(reason="never started"),
            ),
        ),
        (receive_from_agent, (Ready(problem="no space"), Closed(sentence="2 of 2 steps witnessed"))),
    ],
)
def test_messages_between_launcher_and_agent(receive, messages):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def read(content):
        ours.send(content)
        received = receive(theirs)
        if received is None:
            return content == b""
        ours.send(msgspec.json.encode(received))
        return receive(theirs) == received

    with ours, theirs:
        assert 0 < accepted(read, [msgspec.json.encode(each) for each in messages]) < INPUTS
