import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damage import flipped
from saksi.judgement.bundle import TAIL_BYTES, looks_like_bundle, pack, unpack
from saksi.judgement.log_materials import LogMaterials
from saksi.judgement.verify import Trust, VerificationPolicy, verify
from saksi.words.digest import sha256
from saksi.words.errors import MalformedInput, UnsupportedVersion
from simulated_run import INSTALLATION, SimulatedRun, honest_run

RUN = honest_run(ranks=2, steps=4)


def packed(simulated: SimulatedRun = RUN) -> bytes:
    return pack(run=simulated.run, head=simulated.head(), entries=simulated.entries, blobs=simulated.blobs)


WHOLE = packed()


def again(body: bytes) -> bytes:
    """`body` with a last line that names it."""
    return body + hashlib.sha256(body).hexdigest().encode() + b" saksi-bundle\n"


def parts() -> tuple[dict, dict[str, bytes]]:
    _, manifest, rest = WHOLE[:-TAIL_BYTES].split(b"\n", 2)
    listed = msgspec.json.decode(manifest)
    contents = {}
    for member in listed["members"]:
        contents[member["path"]], rest = rest[: member["size"]], rest[member["size"] :]
    return listed, contents


def assembled(contents: dict[str, bytes], *, run: str = RUN.run, first: bytes = b"saksi-bundle/v1\n") -> bytes:
    members = [
        {"path": path, "size": len(each), "sha256": hashlib.sha256(each).hexdigest()} for path, each in contents.items()
    ]
    manifest = msgspec.json.encode({"run": run, "members": members})
    return again(first + manifest + b"\n" + b"".join(contents.values()))


def test_what_is_packed_comes_out_and_packs_to_the_same_bytes():
    unpacked = unpack(WHOLE)
    assert (unpacked.run, list(unpacked.entries), unpacked.head) == (RUN.run, RUN.entries, RUN.head())
    assert dict(unpacked.blobs) == RUN.blobs
    assert pack(run=unpacked.run, head=unpacked.head, entries=unpacked.entries, blobs=unpacked.blobs) == WHOLE
    assert assembled(parts()[1]) == WHOLE


def test_a_bundle_verifies():
    unpacked = unpack(WHOLE)
    materials = LogMaterials(run=unpacked.run, entries=unpacked.entries, head=unpacked.head, blob=unpacked.blob)
    assert verify(trust=Trust((INSTALLATION.key,)), materials=materials, policy=VerificationPolicy()).exit_code == 0


def test_blobs_that_no_record_names_stay_out():
    more = {**RUN.blobs, sha256(b"secret"): b"secret"}
    assert pack(run=RUN.run, head=RUN.head(), entries=RUN.entries, blobs=more) == WHOLE


def test_a_log_of_many_tiles_comes_out_whole():
    simulated = SimulatedRun()
    for pid in range(600):
        simulated.process(pid=pid + 1, attached=True)
    simulated.exit()
    assert list(unpack(packed(simulated)).entries) == simulated.entries


@settings(max_examples=300)
@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_any_flipped_bit_is_recognised_and_refused(bit):
    content = flipped(WHOLE, bit)
    assert looks_like_bundle(head=content[:64], tail=content[-TAIL_BYTES:], name="a.bin")
    with pytest.raises(MalformedInput) as caught:
        unpack(content)
    assert caught.value.exit_code == 1


def test_every_bit_of_the_first_and_last_lines_counts():
    places = [*range(8 * 64), *range(8 * (len(WHOLE) - TAIL_BYTES), 8 * len(WHOLE))]
    for bit in places:
        content = flipped(WHOLE, bit)
        assert looks_like_bundle(head=content[:64], tail=content[-TAIL_BYTES:], name="x")
        with pytest.raises(MalformedInput):
            unpack(content)


@settings(max_examples=100)
@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=200))
def test_missing_and_appended_bytes_are_refused(length, more):
    for content in (WHOLE[:length], WHOLE[length:][1:], WHOLE + more + b"\n", more + b"x" + WHOLE, WHOLE * 2):
        with pytest.raises(MalformedInput):
            unpack(content)


@settings(max_examples=50)
@given(st.permutations(sorted(parts()[1])))
def test_members_in_another_order_are_refused(order):
    contents = parts()[1]
    if order == sorted(order):
        return
    with pytest.raises(MalformedInput, match="order"):
        unpack(assembled({path: contents[path] for path in order}))


@pytest.mark.parametrize("path", sorted(parts()[1]))
def test_a_missing_member_is_refused(path):
    contents = parts()[1]
    del contents[path]
    with pytest.raises(MalformedInput):
        unpack(assembled(contents))


@pytest.mark.parametrize("path", ["aaa", "log/tile/0/000", "log/tile/entries/001.p/1", "blobs/sha256/00/" + "0" * 62])
def test_a_member_more_is_refused(path):
    contents = parts()[1] | {path: b"x"}
    with pytest.raises(MalformedInput, match="named by no record"):
        unpack(assembled(dict(sorted(contents.items()))))


def test_a_blob_under_another_name_is_refused():
    contents = parts()[1]
    path = next(each for each in contents if each.startswith("blobs/"))
    with pytest.raises(MalformedInput, match="digest"):
        unpack(assembled(contents | {path: b"other"}))


def test_another_spelling_of_the_manifest_is_refused():
    listed, contents = parts()
    body = b"".join(contents.values())
    for manifest in (
        msgspec.json.format(msgspec.json.encode(listed), indent=1).replace(b"\n", b""),
        msgspec.json.encode({"members": listed["members"], "run": listed["run"]}),
        msgspec.json.encode({**listed, "more": 1}),
        b"[]",
        b"\xff",
    ):
        with pytest.raises(MalformedInput):
            unpack(again(b"saksi-bundle/v1\n" + manifest + b"\n" + body))


def test_members_that_do_not_fill_the_file_are_refused():
    listed, contents = parts()
    manifest = msgspec.json.encode(listed)
    body = b"".join(contents.values())
    for changed in (body + b"x", body[:-1], b""):
        with pytest.raises(MalformedInput):
            unpack(again(b"saksi-bundle/v1\n" + manifest + b"\n" + changed))


def test_no_manifest_no_head_and_no_bundle_are_refused():
    for content in (
        again(b"saksi-bundle/v1\n"),
        assembled({}),
        b"",
        b"\n",
        again(b""),
        again(b"saksi-bundle/v01\n"),
        again(b"saksi-bundle/x\n"),
    ):
        with pytest.raises(MalformedInput):
            unpack(content)


def test_a_whole_bundle_of_another_version_is_named_so():
    with pytest.raises(UnsupportedVersion, match="version 2") as caught:
        unpack(assembled(parts()[1], first=b"saksi-bundle/v2\n"))
    assert caught.value.exit_code == 3


def test_a_bundle_under_another_runs_name_is_refused():
    with pytest.raises(MalformedInput, match="head"):
        unpack(assembled(parts()[1], run="ff" * 8))


def test_what_cannot_be_packed():
    with pytest.raises(MalformedInput, match="not there"):
        pack(run=RUN.run, head=RUN.head(), entries=RUN.entries, blobs={})
    with pytest.raises(MalformedInput, match="digest"):
        pack(run=RUN.run, head=RUN.head(), entries=RUN.entries, blobs=dict.fromkeys(RUN.blobs, b"x"))
    with pytest.raises(MalformedInput, match="covers"):
        pack(run=RUN.run, head=RUN.head(), entries=RUN.entries[:-1], blobs=RUN.blobs)
    with pytest.raises(MalformedInput, match="head"):
        pack(run="ff" * 8, head=RUN.head(), entries=RUN.entries, blobs=RUN.blobs)


def test_other_files_do_not_look_like_bundles():
    assert not looks_like_bundle(head=b"PK\x03\x04", tail=b"", name="model.pt")
    assert looks_like_bundle(head=b"", tail=b"", name="run.saksi")
