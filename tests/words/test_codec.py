import contextlib
import json
import types
import typing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saksi.words.codec import (
    MAX_BLOCK_BYTES,
    decode_block,
    decode_frame,
    decode_record,
    encode_block_line,
    encode_record,
)
from saksi.words.digest import Digest, sha256
from saksi.words.errors import MalformedInput
from saksi.words.findings import Finding
from saksi.words.frames import MAX_FRAME_BYTES, AnyFrame
from saksi.words.limits import MAX_ENTRY_BYTES
from saksi.words.records import AnyRecord, BlockRecord, FindingRecord, Peer
from simulated_run import honest_run

NUMBERS = st.integers(0, 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | FINITE | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def values(kind) -> st.SearchStrategy:
    """Values of an annotation, as its constraints allow them."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return constrained(arguments[0], arguments[1])
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*(values(each) for each in arguments))
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(values(arguments[0]), max_size=3)
    if origin is tuple and arguments[-1] is Ellipsis:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(values(each) for each in arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=3)
    plain = {int: NUMBERS, str: st.text(max_size=30), bool: st.booleans(), float: FINITE, type(None): st.none()}
    if kind in plain:
        return plain[kind]
    if kind is msgspec.Raw:
        return PLAIN.map(lambda each: msgspec.Raw(msgspec.json.encode(each)))
    if kind is typing.Any:
        return PLAIN
    return structs(kind)


def constrained(kind, meta) -> st.SearchStrategy:
    if meta.pattern is not None:
        return st.from_regex(meta.pattern.removeprefix("^").removesuffix("$"), fullmatch=True).map(str)
    if meta.ge is not None:
        return st.integers(meta.ge, meta.le)
    if kind is str:
        return st.text(max_size=30)
    return values(kind)


def structs(kind) -> st.SearchStrategy:
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{name: values(hints[name]) for name in kind.__struct_fields__})


RECORDS = st.one_of(*(structs(each) for each in typing.get_args(AnyRecord)))
FRAMES = st.one_of(*(structs(each) for each in typing.get_args(AnyFrame)))


@settings(max_examples=300)
@given(RECORDS)
def test_a_record_comes_out_as_it_went_in(record):
    entry = encode_record(record)
    assert encode_record(decode_record(entry)) == entry
    if not hasattr(record, "claimed"):  # a raw value compares by identity
        assert decode_record(entry) == record


@settings(max_examples=300)
@given(FRAMES)
def test_a_frame_comes_out_as_it_went_in(frame):
    raw = msgspec.json.encode(frame)
    assert decode_frame(raw) == frame
    ((received, kept, decoded),) = decode_block(encode_block_line(5, raw))
    assert (received, kept, decoded) == (5, raw, frame)


@settings(max_examples=300)
@given(st.binary(max_size=300) | PLAIN.map(msgspec.json.encode))
def test_only_malformed_input_escapes(content):
    with contextlib.suppress(MalformedInput):
        assert encode_record(decode_record(content)) == content
    with contextlib.suppress(MalformedInput):
        frame = decode_frame(content)
        assert decode_frame(msgspec.json.encode(frame)) == frame
    with contextlib.suppress(MalformedInput):
        for received, raw, frame in list(decode_block(content)):
            assert list(decode_block(encode_block_line(received, raw))) == [(received, raw, frame)]


ENTRIES = honest_run().entries


@settings(max_examples=300)
@given(st.sampled_from(ENTRIES), st.integers(0), st.binary(min_size=1, max_size=4))
def test_a_damaged_entry_is_refused_or_still_canonical(entry, at, damage):
    at %= len(entry)
    changed = entry[:at] + damage + entry[at + len(damage) :]
    try:
        record = decode_record(changed)
    except MalformedInput:
        return
    assert encode_record(record) == changed


@pytest.mark.parametrize("entry", ENTRIES[:4])
def test_an_entry_has_one_form(entry):
    fields = json.loads(entry)
    others = [
        json.dumps(fields).encode(),
        entry + b"\n",
        b" " + entry,
        json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode(),
        json.dumps(fields | {"more": 1}, separators=(",", ":")).encode(),
        json.dumps({k: v for k, v in fields.items() if k != "boot"}, separators=(",", ":")).encode(),
        json.dumps(fields | {"kind": "other"}, separators=(",", ":")).encode(),
        json.dumps(fields | {"attempt": "0"}, separators=(",", ":")).encode(),
        json.dumps(fields | {"attempt": -1}, separators=(",", ":")).encode(),
        json.dumps(fields | {"run": "xyz"}, separators=(",", ":")).encode(),
    ]
    for other in others:
        with pytest.raises(MalformedInput):
            decode_record(other)


def test_limits_are_kept():
    stamp = {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}
    finding = Finding(
        code="x",
        severity="info",
        first_step=None,
        last_step=None,
        ranks=(),
        subject="",
        check="",
        message="m" * MAX_ENTRY_BYTES,
    )
    with pytest.raises(MalformedInput, match="entry"):
        encode_record(FindingRecord(**stamp, finding=finding))
    with pytest.raises(MalformedInput, match="more than"):
        decode_record(b"x" * (MAX_ENTRY_BYTES + 1))
    with pytest.raises(MalformedInput, match="more than"):
        decode_frame(b"x" * (MAX_FRAME_BYTES + 1))
    with pytest.raises(MalformedInput, match="more than"):
        list(decode_block(b"\n" * (MAX_BLOCK_BYTES + 1)))
    with pytest.raises(MalformedInput, match="line break"):
        decode_frame(b"{}\n")
    with pytest.raises(MalformedInput, match="not ended"):
        list(decode_block(b"{}"))


def test_deep_nesting_is_refused():
    for parse in (decode_record, decode_frame, lambda each: list(decode_block(each + b"\n"))):
        with pytest.raises(MalformedInput):
            parse(b"[" * 60_000)


def test_numbers_that_are_not_finite_are_words():
    frame = next(json.loads(line)["frame"] for line in blob_lines() if b'"kind":"update"' in line)
    for word in ("NaN", "Infinity", "-Infinity"):
        raw = json.dumps(frame | {"loss": word}).encode()
        assert decode_frame(raw).loss == word
    with pytest.raises(MalformedInput):
        decode_frame(json.dumps(frame | {"loss": "nan"}).encode())
    with pytest.raises(MalformedInput):
        decode_frame(json.dumps(frame | {"loss": float("nan")}).encode())


def blob_lines() -> list[bytes]:
    return [line for blob in honest_run().blobs.values() for line in blob.splitlines()]


@given(st.binary(min_size=32, max_size=32))
def test_a_digest_has_one_text(value):
    digest = Digest(value)
    assert Digest.parse(str(digest)) == digest
    for other in (str(digest).upper(), digest.hex, f"sha512:{digest.hex}", str(digest) + "0", str(digest) + "\n"):
        with pytest.raises(MalformedInput):
            Digest.parse(other)


def test_sha256_is_sha256():
    assert str(sha256(b"abc")).startswith("sha256:ba7816bf")


def test_values_are_frozen():
    with pytest.raises(AttributeError):
        Peer(pid=1, uid=1, gid=1).pid = 2  # type: ignore[misc]
    assert BlockRecord.__struct_config__.frozen


def update_frame(**changed):
    fields = {
        "kind": "update", "seq": 0, "prev": "0" * 64, "wall_ns": 1, "mono_ns": 1, "lost": 0, "optimizer": 0,
        "update": 0, "skipped": False, "phase_ns": {"data": 1, "compute": 1, "optimizer": 1}, "loss": 1.5, "losses": 1,
        "groups": [], "groups_omitted": 0, "gradient_norm": None, "batches": [], "batches_omitted": 0, "rng": {},
        "fingerprints": [], "inventory": "0" * 64, "self_ns": 1,
    }  # fmt: skip
    return json.dumps(fields | changed).encode()


@pytest.mark.parametrize("around", [b" %b", b"%b ", b"\t%b", b"%b\r", b"\xef\xbb\xbf%b", b"%b\0"])
def test_a_frame_with_anything_around_its_object_is_refused(around):
    raw = update_frame()
    assert decode_frame(raw).seq == 0
    with pytest.raises(MalformedInput):
        decode_frame(around % raw)


@pytest.mark.parametrize(("depth", "accepted"), [(20, True), (40, False), (900, False), (5_000, False)])
def test_a_frame_is_nested_only_as_deep_as_every_reader_goes(depth, accepted):
    deep = b"[" * depth + b"]" * depth
    raw = update_frame(groups=[{"lr": "DEEP"}]).replace(b'"DEEP"', deep)
    if accepted:
        assert decode_frame(raw).seq == 0
    else:
        with pytest.raises(MalformedInput):
            decode_frame(raw)


BATCH = {"loader": 0, "ordinal": 0, "digest": None, "items": 1, "ids": [5]}
ROW = [5, "ab" * 16]


@pytest.mark.parametrize(
    ("changed", "accepted"),
    [
        ({"tensors": [8, 2]}, True),
        ({"tensors": [1] * 4_097}, False),
        ({"tensors": [-1]}, False),
        ({"tensors": None}, False),
        ({"batches": [BATCH | {"form": "cd" * 16, "rows": [ROW] * 16}]}, True),
        ({"batches": [BATCH | {"form": "cd" * 16, "rows": [ROW] * 17}]}, False),
        ({"batches": [BATCH | {"form": "cd", "rows": [ROW]}]}, False),
        ({"batches": [BATCH | {"rows": [[5, "AB" * 16]]}]}, False),
        ({"batches": [BATCH | {"rows": [[2**63, "ab" * 16]]}]}, False),
    ],
)
def test_what_an_update_says_of_tensors_and_samples_has_limits(changed, accepted):
    if accepted:
        assert decode_frame(update_frame(**changed)).seq == 0
    else:
        with pytest.raises(MalformedInput):
            decode_frame(update_frame(**changed))


def test_text_that_has_no_utf8_is_malformed():
    finding = Finding(
        code="coverage.gap", severity="info", first_step=None, last_step=None, ranks=(), subject="\udcff", check="c",
        message="",
    )  # fmt: skip
    stamp = {"run": "0" * 16, "attempt": 0, "wall_ns": 0, "mono_ns": 0, "boot": ""}
    with pytest.raises(MalformedInput):
        encode_record(FindingRecord(finding=finding, **stamp))
