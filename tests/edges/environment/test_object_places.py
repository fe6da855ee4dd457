"""Where a mapped object lies."""

from __future__ import annotations

import os
import sys

import pytest

from edges.environment.environments import Environment, later, without_stdlib
from saksi.edges.environment import import_places, object_places
from saksi.edges.environment.import_places import is_foreign, shadowed_imports, sites_among
from saksi.edges.environment.installations import Installations
from saksi.edges.environment.object_places import ObjectPlaces, SealedFiles, Surroundings, named_objects
from saksi.edges.environment.source_places import OwnCode, SourcePlaces
from saksi.edges.environment.watched_files import look_at

AROUND = Surroundings(
    own=OwnCode(script="/own/train.py", folders=("/own",)), prefixes=("/conda/lib",), search_path=("/cm/lib",)
)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/dev/nvidia0", "device"), ("/dev/shm/x.so", "elsewhere"), ("/memfd:x", "memory"),
        ("/tmp/torchinductor_u/ab/k.so", "cache"), ("/home/u/.triton/cache/x/k.so", "cache"),
        ("/home/u/.cache/torch_extensions/py311/m/m.so", "cache"), ("/kernels/k.so", "cache"),
        ("/own/lib.so", "tree"), ("/owner/lib.so", "elsewhere"), ("/conda/lib/libz.so", "prefix"),
        ("/cm/lib/libmpi.so", "search_path"), ("/usr/lib/libc.so.6", "system"), ("/opt/rocm/lib/x.so", "system"),
        ("/home/u/x.so", "elsewhere"), ("/usr/lib/python3/dist-packages/m.so", "system"),
        ("/x/site-packages/m.so", "elsewhere"),
    ],
)  # fmt: skip
def test_each_kind_of_place(path, place):
    assert ObjectPlaces(AROUND).place(path, ("/kernels",)) == place


def test_a_package_has_the_objects_that_its_list_names_and_no_others(tmp_path):
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toy/a.cpython-311.so": b"1", "toy.libs/liby.so.1": b"2"})
    environment.put("toy/planted.so", b"3")
    places = ObjectPlaces(AROUND)
    where = [places.place(str(environment.site / each), ()) for each in ("toy/a.cpython-311.so", "toy.libs/liby.so.1")]
    assert where == ["package", "package"]
    assert places.place(str(environment.site / "toy/planted.so"), ()) == "elsewhere"
    assert places.place(os.path.realpath(sys.modules["_ctypes"].__file__), ()) == "library"


def test_sealed_files_are_known_by_path_by_inode_and_by_state(tmp_path, monkeypatch):
    without_stdlib(monkeypatch)
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toy/a.so": b"1"})
    store = tmp_path / "store.so"
    store.write_bytes(b"linked")
    (environment.site / "toy/b.so").symlink_to(store)
    found = look_at(environment.question(cache=None), now_ns=later())
    sealed = SealedFiles(found, found)
    path = environment.site / "toy/a.so"
    at = sealed.at(str(path), path.stat())
    assert sealed.digest(path.stat()) == at.digest is not None
    assert sealed.at(str(store), store.stat()).digest == sealed.digest(store.stat())
    assert sealed.at(str(tmp_path / "other.so"), None) is None
    path.write_bytes(b"changed")
    assert sealed.at(str(path), path.stat()).digest == at.digest
    assert sealed.digest(path.stat()) is None


def test_what_a_variable_names_is_found_by_path_by_name_and_as_a_plug_in(tmp_path, monkeypatch):
    listed = tmp_path / "ld.so.preload"
    listed.write_text("/nowhere/always.so /nowhere/too.so\n")
    monkeypatch.setattr(object_places, "LD_SO_PRELOAD", listed)
    (tmp_path / "link.so").symlink_to(tmp_path / "real.so")
    variables = {
        "LD_PRELOAD": f"{tmp_path}/link.so bare.so",
        "LD_AUDIT": "./a.so",
        "NCCL_NET_PLUGIN": "mine",
        "PATH": "/x",
    }
    assert named_objects(variables, str(tmp_path)) == {
        f"{tmp_path}/real.so": "LD_PRELOAD", "bare.so": "LD_PRELOAD", f"{tmp_path}/a.so": "LD_AUDIT",
        "mine": "NCCL_NET_PLUGIN", "libnccl-net-mine.so": "NCCL_NET_PLUGIN",
        "/nowhere/always.so": str(listed), "/nowhere/too.so": str(listed),
    }  # fmt: skip


def test_roots_alone_counts_only_for_a_job_that_is_not_roots(tmp_path):
    path = str(tmp_path / "x.so")
    (tmp_path / "x.so").touch()
    assert ObjectPlaces(Surroundings(root=False)).place(path, ()) == "elsewhere"  # /tmp is open to everybody
    assert ObjectPlaces(Surroundings(root=False)).place("/etc/hostname", ()) == "system"
    assert ObjectPlaces(Surroundings(root=True)).place("/etc/hostname", ()) == "elsewhere"


def test_a_module_beside_the_script_that_the_environment_has_too_is_shadowing(tmp_path):
    own = tmp_path / "own"
    (own / "toy").mkdir(parents=True)
    for each in ("toy/__init__.py", "random.py", "train.py", "_ctypes.py"):
        (own / each).touch()
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toy/__init__.py": "", "other.py": ""})
    library = os.path.dirname(os.__file__)
    modules = {name: str(own / path) for name, path in (
        ("toy", "toy/__init__.py"), ("random", "random.py"), ("train", "train.py"), ("_ctypes", "_ctypes.py"),
    )} | {"other": str(environment.site / "other.py")}  # fmt: skip
    folders = (str(environment.site), library)
    places = SourcePlaces(OwnCode(script=None, folders=(str(own),)))
    told = {each.name: each for each in shadowed_imports(modules.items(), folders, places, None)}
    assert told.keys() == {"toy", "random", "_ctypes"}
    assert (told["toy"].other_origin, told["toy"].origin) == ("package", "tree")
    assert told["random"].other == f"{library}/random.py"
    assert told["random"].digest is not None


def test_a_link_to_the_environments_own_module_is_none(tmp_path):
    library = os.path.dirname(os.__file__)
    (tmp_path / "random.py").symlink_to(f"{library}/random.py")
    modules = {"random": str(tmp_path / "random.py")}
    assert shadowed_imports(modules.items(), (library,), SourcePlaces(OwnCode()), None) == []


def test_folders_of_an_environment_are_told_from_others():
    paths = ("/v/lib/python3.11/site-packages/m/__init__.py", "/usr/lib/python3.12/json/__init__.py", "/own/x.py")
    assert sites_among(paths) == ("/v/lib/python3.11/site-packages", "/usr/lib/python3.12")
    assert [is_foreign(each, Installations(None)) for each in paths] == [False, False, True]
    assert [is_foreign(each, Installations(("/v",))) for each in paths] == [False, True, True]


def test_folders_that_are_only_named_like_an_environments_have_no_packages_and_no_library(tmp_path):
    for name in ("python3.11", "site-packages"):
        (tmp_path / name).mkdir()
    (tmp_path / "python3.11/os.py").touch()
    (tmp_path / "site-packages/mine-1.dist-info").mkdir()
    (tmp_path / "site-packages/mine-1.dist-info/RECORD").write_text("mine.so,,\n")
    planted = [str(tmp_path / each) for each in ("python3.11/m.so", "site-packages/mine.so")]
    trusting, knowing = (
        ObjectPlaces(Surroundings(own=OwnCode(installations=each)), on_behalf_of=None) for each in (None, ("/venv",))
    )
    assert [trusting.place(each, ()) for each in planted] == ["library", "package"]
    assert [knowing.place(each, ()) for each in planted] == ["elsewhere", "elsewhere"]


def test_no_more_of_a_module_is_read_than_the_limit_and_nothing_once_it_is_over(tmp_path, monkeypatch):
    monkeypatch.setattr(import_places, "MAX_SOURCE", 3)
    (tmp_path / "random.py").write_text("long")
    modules = {"random": str(tmp_path / "random.py"), "json": "\0"}.items()
    folders = (os.path.dirname(os.__file__),)
    (told,) = shadowed_imports([*modules][:1], folders, SourcePlaces(OwnCode()), None)
    assert told.digest is None
    assert shadowed_imports(modules, folders, SourcePlaces(OwnCode()), None, is_over=lambda: True) == []
