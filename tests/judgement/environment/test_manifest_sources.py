import pytest

from saksi.edges.environment.wheels import read_wheel
from saksi.judgement.environment.lock import parse_lock
from saksi.judgement.environment.manifest import PythonParts, make_statement, parse_manifest
from saksi.judgement.environment.manifest_sources import manifest_from_wheels
from saksi.words.errors import MalformedInput, UsageError
from wheels_by_hand import make_wheel


def read(folder, name="demo", version="1.0", **parts):
    return read_wheel(make_wheel(folder, name, version, **parts))


def files(manifest):
    return {(root.label, each.path): each.owner for root in manifest.roots for each in root.files}


def test_where_the_content_of_a_wheel_goes(tmp_path):
    pure = read(
        tmp_path,
        "Demo_A",
        files={"demo/__init__.py": b"", "demo/__pycache__/x.cpython-311.pyc": b"", "demo/plain.pyc": b""},
        data={"purelib/p.py": b"", "platlib/q.py": b"", "scripts/plain.sh": b"#!/bin/sh\n",
              "scripts/again": b"#!python\n", "scripts/run": b"#!python\n", "scripts/run-script.py": b"x",
              "headers/x.h": b"", "data/etc/x": b"", "data/bin/native": b""},
        entry_points="[console_scripts]\nrun = demo.cli:main\n[gui_scripts]\nwindow = demo.gui:App.show\n",
    )  # fmt: skip
    plat = read(tmp_path, "b", pure=False, files={"b.so": b""})
    manifest = manifest_from_wheels([plat, pure])
    assert files(manifest) == {
        ("data", "etc/x"): 1,
        ("headers", "demo-a/x.h"): 1,
        ("platlib", "b-1.0.dist-info/METADATA"): 0,
        ("platlib", "b-1.0.dist-info/WHEEL"): 0,
        ("platlib", "b.so"): 0,
        ("platlib", "q.py"): 1,
        ("purelib", "Demo_A-1.0.dist-info/METADATA"): 1,
        ("purelib", "Demo_A-1.0.dist-info/WHEEL"): 1,
        ("purelib", "Demo_A-1.0.dist-info/entry_points.txt"): 1,
        ("purelib", "demo/__init__.py"): 1,
        ("purelib", "demo/plain.pyc"): 1,
        ("purelib", "p.py"): 1,
        ("scripts", "native"): 1,
        ("scripts", "plain.sh"): 1,
    }
    assert [(each.path, each.module, each.attribute) for each in manifest.generated] == [
        ("run", "demo.cli", "main"), ("window", "demo.gui", "App.show")]  # fmt: skip
    assert [(each.path, each.size) for each in manifest.rewritten] == [("again", 0)]
    assert [(each.name, each.version, each.metadata_folder) for each in manifest.distributions] == [
        ("b", "1.0", "b-1.0.dist-info"), ("demo-a", "1.0", "Demo_A-1.0.dist-info")]  # fmt: skip
    assert parse_manifest(make_statement(manifest)) == manifest


def test_an_unknown_kind_of_data_is_refused(tmp_path):
    with pytest.raises(MalformedInput, match=r"demo-1.0.data/evil/x' is of no known kind of data"):
        manifest_from_wheels([read(tmp_path, data={"evil/x": b""})])


def test_two_wheels_of_one_distribution_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"demo-2.0-py3-none-any.whl: of the same distribution as demo-1.0-py3-none"):
        manifest_from_wheels([read(tmp_path), read(tmp_path, version="2.0")])
    with pytest.raises(UsageError, match="no wheel"):
        manifest_from_wheels([])


def test_wheels_for_another_interpreter_are_refused_and_a_fitting_one_is_kept(tmp_path):
    wheel = read(tmp_path, tags="cp311-cp311-manylinux1_x86_64")
    fits = PythonParts(implementation="cpython", version="3.11.7", cache_tag="cpython-311", platform=None)
    assert manifest_from_wheels([wheel], python=fits).python == PythonParts(
        implementation="cpython", version="3.11", cache_tag="cpython-311", platform="linux_x86_64"
    )
    other = PythonParts(implementation="cpython", version="3.12.1", cache_tag="cpython-312", platform=None)
    with pytest.raises(UsageError, match=r"made for cp311-cp311, not for cpython 3.12.1"):
        manifest_from_wheels([wheel], python=other)


def lock(text):
    return parse_lock(text.encode(), name="lock.txt")


def test_every_wheel_is_of_the_lock_and_every_locked_distribution_has_its_wheel(tmp_path):
    a, b = read(tmp_path, "a"), read(tmp_path, "b")
    rows = f"a==1.0 --hash={a.digest}\nb==1.0 --hash={b.digest}\n"
    manifest = manifest_from_wheels([a, b], lock=lock(rows))
    assert manifest.not_covered == ()
    with pytest.raises(UsageError, match=r"lock.txt, line 2: b is locked and has no wheel in the folder"):
        manifest_from_wheels([a], lock=lock(rows))
    with pytest.raises(UsageError, match=r"^b-1.0-py3-none-any.whl: b is not in the lock"):
        manifest_from_wheels([a, b], lock=lock(f"a==1.0 --hash={a.digest}\n"))
    with pytest.raises(MalformedInput, match=r"b-1.0-.*: its digest sha256:.* is none of those at lock.txt, line 2"):
        manifest_from_wheels([a, b], lock=lock(rows.replace(b.digest, a.digest)))


def test_what_the_lock_cannot_ask_of_wheels_is_listed(tmp_path):
    a = read(tmp_path, "a")
    rows = f"a==1.0 --hash={a.digest}\n-e ./mine\nb==2 ; sys_platform == 'win32' --hash={a.digest}\n./a\n"
    manifest = manifest_from_wheels([a], lock=lock(rows))
    assert [(each.name, each.version, each.reason) for each in manifest.not_covered] == [
        ("b", "2", "locked only where \"sys_platform == 'win32'\", and no wheel of it is in the folder"),
        ("mine", None, "installed editable, from a folder: no wheel says what it holds"),
    ]
    assert parse_manifest(make_statement(manifest)) == manifest
