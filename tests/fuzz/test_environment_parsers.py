"""Manifests, locks and wheels that are nearly right: only the project's own errors come out, short."""

from __future__ import annotations

from random import Random

from fuzz.seeded import SEED, nearly
from judgement.environment.manifests import plain_manifest
from saksi.edges.environment.wheels import read_wheel
from saksi.judgement.environment.lock import parse_lock
from saksi.judgement.environment.manifest import make_statement, parse_manifest
from saksi.judgement.environment.scripts import read_launcher
from saksi.judgement.environment.wheel import (
    is_safe_path,
    parse_entry_points,
    parse_record,
    parse_wheel_name,
    root_is_purelib,
)
from saksi.words.errors import SaksiError
from wheels_by_hand import make_wheel, row_of

INPUTS = 4_000
A, B = "a" * 64, "b" * 64
REQUIREMENTS = [
    f'a[x]==1.0 ; python_version < "3" \\\n  --hash=sha256:{A} \\\n  --hash=sha256:{B}  # via b\n'.encode(),
    f"--index-url x\n-e ./mine\nb @ https://b.whl --hash=sha256:{B}\n./c\nd===2 --hash sha256:{A}\n".encode(),
]
PYLOCK = [
    b'lock-version = "1.0"\n[[packages]]\nname = "a"\nversion = "1"\n'
    + f'wheels = [{{hashes = {{sha256 = "{A}"}}}}]\n'.encode(),
    b'lock-version = "1.0"\n[[packages]]\nname = "b"\nmarker = "x"\nsdist = {hashes = {sha256 = "y"}}\n',
]


def accepted(read, seeds, inputs=INPUTS, *, words=1_500):
    """How many of the inputs are read; all others are refused, each in few words."""
    random = Random(f"{SEED} {seeds[0]!r}")
    count = 0
    for content in nearly(random, seeds, inputs):
        said = None
        try:
            assert read(content), content
            count += 1
        except SaksiError as refused:
            said = str(refused)
        assert said is None or len(said) < words, content
    return count


def test_manifests():
    def read(content):
        return make_statement(parse_manifest(content)) == content

    assert 0 < accepted(read, [make_statement(plain_manifest())], 2_000, words=10_000) < 2_000


def test_locks_in_both_forms():
    def read(name):
        def lock(content):
            found = parse_lock(content, name=name)
            return all(each.digests for each in found.entries) and (found.entries or found.not_covered)

        return lock

    assert 0 < accepted(read("lock.txt"), REQUIREMENTS) < INPUTS
    assert 0 < accepted(read("pylock.toml"), PYLOCK) < INPUTS


def test_texts_of_wheels():
    record = (row_of("demo/a.py", b"a") + row_of("demo/b.py", b"b", "sha512") + '"de,mo",,\ndemo/RECORD,,\n').encode()
    assert 0 < accepted(lambda content: parse_record(content, where="w") is not None, [record]) < INPUTS
    points = [b"[console_scripts]\nrun = demo.cli:main [x]\n\n[gui_scripts]\nw=d:A.b\n[other]\nx\n"]

    def read(content):
        return all("/" not in each.name and each.module for each in parse_entry_points(content, where="w"))

    assert 0 < accepted(read, points) < INPUTS
    wheel = [b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"]
    assert 0 < accepted(lambda content: root_is_purelib(content, where="w") in {True, False}, wheel) < INPUTS
    names = [b"demo_a-1.0+cpu-1-cp311.cp312-abi3-manylinux_2_28_x86_64.whl"]

    def name(content):
        found = parse_wheel_name(content.decode("latin-1"))
        return found.distribution and found.pythons and found.abis and found.platforms

    assert 0 < accepted(name, names) < INPUTS


def test_heads_of_scripts_are_cut_where_they_end():
    heads = [
        b"#!/venv/bin/python\nrest",
        b"#!/bin/sh\n'''exec' '/a b/bin/python' \"$0\" \"$@\"\n' '''\nrest",
    ]

    def read(content):
        found = read_launcher(content)
        return found is None or (content.endswith(found.body) and len(found.body) < len(content))

    assert accepted(read, heads) == INPUTS


def test_wheels(tmp_path):
    path = make_wheel(
        tmp_path,
        files={"demo/a.py": b"a = 1\n" * 9},
        data={"scripts/x": b"#!python\n1\n"},
        entry_points="[console_scripts]\nrun = demo.a:b\n",
    )
    content = path.read_bytes()

    def read(changed):
        path.write_bytes(changed)
        found = read_wheel(path)
        return all(is_safe_path(each.path) for each in found.members)

    assert 0 < accepted(read, [content], 800) < 800
