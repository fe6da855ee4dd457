"""Each kind of door on an environment made by hand, its honest twin, and what cannot be read."""

from __future__ import annotations

import os
import zipfile

import msgspec
import pytest

from edges.environment.door_trees import Tree
from saksi.edges.environment import door_files, installed_entry_points, search_path, startup_files
from saksi.judgement.environment.door_comparison import compare_doors
from saksi.judgement.environment.doors import Owner, is_unaccounted, others_who_may_write

AS_ROOT = os.getuid() == 0


@pytest.fixture
def tree(tmp_path):
    tmp_path.chmod(0o755)
    return Tree(tmp_path)


def acting(report, *acts):
    return [(each.kind, each.name) for each in report.doors if each.acts in acts and each.kind != "path_file"]


def test_a_bare_environment_has_its_settings_and_nothing_else(tree):
    report = tree.report()
    assert [(each.kind, each.name, each.acts) for each in report.doors] == [("path_file", "pyvenv.cfg", "every_start")]
    assert report.complete
    assert "names the interpreter's home" in report.doors[0].what


# -- start-up files


def test_an_unowned_pth_file_comes_first_with_what_it_executes(tree):
    tree.install("setuptools-80.0", {"known.pth": "import os\n"})
    tree.write(tree.site / "evil.pth", f"import os; os.environ['X'] = 'sk-proj-{'a1B2' * 12}'\n")
    first, second, *_ = tree.report().doors
    assert (first.name, first.acts, first.owner.state) == ("evil.pth", "every_start", "unowned")
    assert is_unaccounted(first)
    assert first.runs == ("import os; os.environ['X'] = '[redacted]'",)
    assert first.file.digest is not None
    assert (second.name, second.owner.state, second.owner.distribution) == ("known.pth", "same", "setuptools-80.0")


def test_a_file_that_is_not_as_its_package_ships_it(tree):
    tree.install("toy-1.0", {"toy.pth": "import os\n"})
    tree.write(tree.site / "toy.pth", "import os; 1\n")
    door = tree.doors("pth")["toy.pth"]
    assert (door.owner.state, door.owner.distribution, is_unaccounted(door)) == ("differs", "toy-1.0", True)


def test_what_a_pth_file_imports_is_a_door_of_its_own(tree):
    tree.install(
        "toy-1.0", {"toy.pth": "import os, toy.start; toy.start.go()\n", "toy/__init__.py": "", "toy/start.py": ""}
    )
    tree.write(tree.site / "toy/start.py", "print('edited')")
    doors = tree.doors("startup_module")
    assert list(doors) == ["toy.start", "toy"]
    assert [each.owner.state for each in doors.values()] == ["differs", "same"]
    assert {each.acts for each in doors.values()} == {"every_start"}


def test_folders_that_pth_files_add_are_searched_last(tree):
    tree.write(tree.folder / "src/sitecustomize.py")
    tree.write(tree.site / "__editable__.toy.pth", f"{tree.folder / 'src'}\n")
    doors = tree.doors()
    assert doors["__editable__.toy.pth"].acts == "search_path"
    assert doors["sitecustomize"].path == str(tree.folder / "src/sitecustomize.py")
    tree.write(tree.site / "sitecustomize.py")
    shadowed = [each for each in tree.report().doors if each.name == "sitecustomize"]
    assert [(each.acts, each.path) for each in shadowed] == [
        ("every_start", str(tree.site / "sitecustomize.py")),
        ("never", str(tree.folder / "src/sitecustomize.py")),
    ]


def test_start_files_act_from_3_15_on(tmp_path):
    for version, acts in (("3.14.1", ("every_start", "never")), ("3.15.0", ("never", "every_start"))):
        tree = Tree(tmp_path / version, version)
        tree.write(tree.site / "toy.pth", "import os\n")
        tree.write(tree.site / "toy.start", "toy:go\n")
        tree.write(tree.site / "toy.py")
        doors = tree.doors()
        assert (doors["toy.pth"].acts, doors["toy.start"].acts) == acts
        assert ("toy" in doors) == (version == "3.15.0")
    tree.write(tree.site / "toy.start", b"\xff")  # not read, so it silences nothing
    assert tree.doors()["toy.pth"].acts == "every_start"


def test_names_with_a_dot(tmp_path):
    for version, acts in (("3.11.7", "every_start"), ("3.11.8", "never")):
        tree = Tree(tmp_path / version, version)
        tree.write(tree.site / ".x.pth", "import toy\n")
        tree.write(tree.site / "toy.py")
        doors = tree.doors()
        assert doors[".x.pth"].acts == acts
        assert ("toy" in doors) == (acts == "every_start")


# -- sitecustomize and usercustomize


@pytest.mark.parametrize(
    "name",
    [
        "sitecustomize.py",
        "sitecustomize/__init__.py",
        "sitecustomize.pyc",
        "sitecustomize.cpython-311-x86_64-linux-gnu.so",
        "sitecustomize/__init__.pyc",
    ],
)
def test_forms_of_sitecustomize(tree, name):
    tree.write(tree.site / name)
    door = tree.doors()["sitecustomize"]
    assert (door.kind, door.acts, door.path) == ("customize", "every_start", str(tree.site / name))


def test_a_folder_without_init_executes_nothing(tree):
    tree.write(tree.site / "sitecustomize/readme.txt")
    assert "sitecustomize" not in tree.doors()


def test_in_an_archive_on_pythonpath(tree):
    archive = tree.folder / "code.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("sitecustomize.py", "")
        opened.writestr("random.py", "")
    doors = tree.doors(PYTHONPATH=str(archive))
    assert doors["sitecustomize"].path == f"{archive}/sitecustomize.py"
    assert doors["sitecustomize"].file.digest is not None
    assert (doors["random"].kind, doors["random"].acts) == ("shadowing", "search_path")
    tree.write(archive, b"no archive")
    assert "sitecustomize" not in tree.doors(PYTHONPATH=str(archive))


def test_usercustomize_where_the_user_site_is_on(tree):
    tree.write(tree.home / ".local/lib/python3.11/site-packages/usercustomize.py")
    of_base = tree.python(of_base=True)
    assert tree.doors(python=of_base)["usercustomize"].acts == "every_start"
    assert "usercustomize" not in tree.doors(python=of_base, PYTHONNOUSERSITE="1")
    assert "usercustomize" not in tree.doors()
    tree.write(tree.site / "usercustomize.py")
    assert tree.doors()["usercustomize"].acts == "never"
    assert "virtual environment" in tree.doors()["usercustomize"].what
    tree.write(tree.stdlib / "site-packages/usercustomize.py")
    for options in ({"letters": "s"}, {"PYTHONNOUSERSITE": "1"}):
        assert tree.doors(python=of_base, **options)["usercustomize"].acts == "never"


def test_the_flag_that_keeps_site_out(tree):
    tree.write(tree.site / "toy.pth", "import os\n")
    tree.write(tree.site / "sitecustomize.py")
    assert acting(tree.report(letters="S"), "every_start") == []


# -- where modules are found


def test_pythonpath_and_each_of_its_entries(tree):
    (tree.folder / "mine").mkdir()
    (tree.folder / "open").mkdir()
    (tree.folder / "open").chmod(0o777)
    value = f"{tree.folder / 'mine'}:{tree.folder / 'gone'}:{tree.folder / 'open'}:"
    report = tree.report(PYTHONPATH=value)
    variable, *named = [each for each in report.doors if each.name == "PYTHONPATH"]
    assert (variable.kind, variable.value, variable.acts) == ("variable", value, "search_path")
    by_path = {each.path: each for each in named}
    assert set(by_path) == {str(tree.folder / each) for each in ("mine", "gone", "open", "")} - {f"{tree.folder}/"}
    assert "nothing is there now" in by_path[str(tree.folder / "gone")].what
    assert "current folder" in by_path[str(tree.folder)].what
    writers = others_who_may_write(by_path[str(tree.folder / "open")], os.getuid())
    assert ("others", str(tree.folder / "open")) in {(each.who, each.path) for each in writers}
    assert report.complete


def test_what_shadows_the_standard_library(tmp_path):
    for version, early in (("3.10.1", {"encodings", "os"}), ("3.13.0", {"encodings"})):
        tree = Tree(tmp_path / version, version)
        for each in ("encodings/__init__.py", "os.py", "random.py", "mine.py"):
            tree.write(tree.folder / "first" / each)
        doors = tree.doors("shadowing", PYTHONPATH="first")
        assert set(doors) == {"encodings", "os", "random"}
        assert {name for name, each in doors.items() if each.acts == "every_start"} == early
        assert tree.doors("shadowing", PYTHONPATH="first", letters="E") == {}


def test_an_archive_before_the_standard_library(tree):
    tree.write(tree.base / "lib/python311.zip")
    assert tree.doors("shadowing")["python311.zip"].acts == "every_start"


def test_a_home_that_is_elsewhere_moves_the_standard_library(tree):
    tree.settings(f"home = {tree.folder / 'other/a/bin'}\n")
    assert "makes this a virtual environment" in tree.doors()["pyvenv.cfg"].what  # no standard library is above it
    tree.write(tree.folder / "other/lib/python3.11/os.py")
    tree.write(tree.folder / "other/lib/python3.11/sitecustomize.py")
    doors = tree.doors()
    assert f"taken from {tree.folder / 'other'}, not" in doors["pyvenv.cfg"].what
    assert doors["sitecustomize"].path == str(tree.folder / "other/lib/python3.11/sitecustomize.py")


def test_files_of_paths_beside_the_interpreter(tmp_path):
    for version, acts in (("3.10.1", "never"), ("3.11.0", "every_start")):
        tree = Tree(tmp_path / version, version)
        tree.write(tree.prefix / "bin/python._pth", "/x\n")
        tree.write(tree.prefix / "bin/other._pth", "/x\n")
        tree.write(tree.base / "bin/pybuilddir.txt", "/x\n")
        doors = tree.doors("path_file")
        unread = {each.path.rpartition("/")[2] for each in tree.report().unread}
        assert unread == {"pybuilddir.txt"} | ({"python._pth"} if acts == "every_start" else set())
        assert {name: each.acts for name, each in doors.items()} == {
            "pyvenv.cfg": "every_start", "python._pth": acts, "pybuilddir.txt": "every_start",
        }  # fmt: skip


def test_variables_that_move_what_was_looked_at_leave_the_report_incomplete(tree):
    report = tree.report(PYTHONHOME=str(tree.base))
    assert not report.complete
    assert [each.path for each in report.unread] == ["PYTHONHOME"]
    assert tree.report(PYTHONHOME=str(tree.base), letters="E").complete


# -- variables, the loader, plug-ins, caches


def test_variables_and_what_they_name(tree):
    tree.write(tree.folder / "start.py")
    tree.write(tree.folder / "hook.so")
    tree.write(tree.folder / "first/cat.py")
    tree.write(tree.site / "bp.py")
    doors = tree.report(
        LD_PRELOAD=f"{tree.folder / 'hook.so'} libjemalloc.so", PYTHONSTARTUP="start.py", PYTHONINSPECT="1",
        PYTHONBREAKPOINT="bp.here", PYTHONPATH="first", PYTHONWARNINGS="ignore::cat.W", GLIBC_TUNABLES="x=1",
        NCCL_NET_PLUGIN="none", OPENSSL_CONF="/nonexistent/openssl.cnf", PYTHONPYCACHEPREFIX="/nonexistent/pyc",
    ).doors  # fmt: skip
    found = {(each.kind, each.name, each.path and each.path.rpartition("/")[2]): each.acts for each in doors}
    assert found == {
        ("path_file", "pyvenv.cfg", "pyvenv.cfg"): "every_start",
        ("variable", "LD_PRELOAD", None): "every_program",
        ("named", "LD_PRELOAD", "hook.so"): "every_program",
        ("named", "LD_PRELOAD", None): "every_program",
        ("variable", "PYTHONSTARTUP", None): "interactive",
        ("named", "PYTHONSTARTUP", "start.py"): "interactive",
        ("variable", "PYTHONINSPECT", None): "interactive",
        ("variable", "PYTHONPATH", None): "search_path",
        ("named", "PYTHONPATH", "first"): "search_path",
        ("variable", "PYTHONBREAKPOINT", None): "when_called",
        ("loaded_module", "bp", "bp.py"): "when_called",
        ("variable", "PYTHONWARNINGS", None): "every_start",
        ("loaded_module", "cat", "cat.py"): "every_start",
        ("variable", "GLIBC_TUNABLES", None): "every_program",
        ("variable", "OPENSSL_CONF", None): "with_library",
        ("named", "OPENSSL_CONF", "openssl.cnf"): "with_library",
        ("variable", "PYTHONPYCACHEPREFIX", None): "search_path",
        ("named", "PYTHONPYCACHEPREFIX", "pyc"): "search_path",
    }


def test_flags_that_keep_variables_of_python_out(tree):
    doors = tree.doors("variable", PYTHONWARNINGS="ignore::cat.W", LD_AUDIT="/x.so", letters="I")
    assert {name: each.acts for name, each in doors.items()} == {"PYTHONWARNINGS": "never", "LD_AUDIT": "every_program"}


def test_the_files_of_the_loader_and_of_nccl(tree):
    tree.write(tree.system / "etc/ld.so.preload", "# mine\n/opt/a.so\t/opt/b.so:/opt/c.so\n")
    tree.write(tree.system / "etc/nccl.conf", "NCCL_NET_PLUGIN=x\n")
    tree.write(tree.home / ".nccl.conf")
    tree.write(tree.folder / "libs/libnccl-net-x.so")
    tree.write(tree.folder / "libs/libnccl.so.2")
    report = tree.report(LD_LIBRARY_PATH=str(tree.folder / "libs"))
    found = {(each.kind, each.path and each.path.rpartition("/")[2], each.acts) for each in report.doors}
    assert found == {
        ("variable", None, "every_program"),
        ("named", "libs", "every_program"),
        ("named", "a.so", "every_program"),
        ("named", "b.so", "every_program"),
        ("named", "c.so", "every_program"),
        ("loader", "ld.so.preload", "every_program"),
        ("path_file", "pyvenv.cfg", "every_start"),
        ("configuration", "nccl.conf", "several_processes"),
        ("configuration", ".nccl.conf", "several_processes"),
        ("named", "libnccl-net-x.so", "several_processes"),
    }
    tree.write(tree.system / "etc/ld.so.preload", "# nothing\n")
    assert tree.doors("loader")["ld.so.preload"].acts == "never"


def test_kernels_are_looked_for_where_torch_is(tree):
    assert tree.doors("kernel_cache") == {}
    tree.write(tree.site / "torch/__init__.py")
    tree.write(tree.site / "triton/__init__.py")
    (tree.system / "tmp/torchinductor_a_b").mkdir(parents=True)
    (tree.system / "tmp").chmod(0o1777)
    doors = tree.doors("kernel_cache", USER="a/b")
    assert {name: each.path for name, each in doors.items()} == {
        "Inductor": str(tree.system / "tmp/torchinductor_a_b"),
        "Triton": str(tree.home / ".triton/cache"),
        "torch extensions": str(tree.home / ".cache/torch_extensions"),
        "torch kernels": str(tree.home / ".cache/torch/kernels"),
    }
    assert others_who_may_write(doors["Inductor"], os.getuid()) == ()  # ours in a sticky folder
    missing = tree.doors("kernel_cache", USER="nobody-yet")["Inductor"]
    assert "nothing is there yet" in missing.what
    assert "others" in {each.who for each in others_who_may_write(missing, os.getuid())}
    named = tree.doors("kernel_cache", USER="a/b", TORCHINDUCTOR_CACHE_DIR="/x", TRITON_HOME=str(tree.folder))
    assert "Inductor" not in named
    assert named["Triton"].path == str(tree.folder / ".triton/cache")


def test_no_home_at_all(tree):
    report = tree.report(HOME="")
    assert report.complete


# -- entry points


def test_entry_points_that_are_loaded_by_themselves(tree):
    text = "[torch.backends]\nnpu = npu:load\n[console_scripts]\nx = y:z\n[pytest11]\np = os\n"
    tree.install("npu-1.0", {"npu.py": "", "npu-1.0.dist-info/entry_points.txt": text})
    doors = tree.doors()
    assert (doors["torch.backends: npu"].acts, doors["torch.backends: npu"].value) == ("with_torch", "npu:load")
    assert (doors["npu"].kind, doors["npu"].acts, doors["npu"].owner.state) == ("loaded_module", "with_torch", "same")
    assert doors["pytest11: p"].acts == "with_library"
    assert not any("console" in name for name in doors)
    off = tree.doors(TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert off["torch.backends: npu"].acts == "never"
    assert off["TORCH_DEVICE_BACKEND_AUTOLOAD"].acts == "with_torch"


def test_entry_points_in_folders_that_pth_files_add(tree):
    tree.write(tree.folder / "src/toy.egg-info/entry_points.txt", "[torch.backends]\ntoy = toy:load\n")
    tree.write(tree.folder / "src/toy.py")
    tree.write(tree.site / "toy.pth", f"{tree.folder / 'src'}\n")
    doors = tree.doors()
    assert doors["torch.backends: toy"].acts == doors["toy"].acts == "with_torch"
    assert is_unaccounted(doors["toy"])


def test_entry_points_beyond_the_limit_are_told(tree, monkeypatch):
    monkeypatch.setattr(installed_entry_points, "MAX_ENTRY_POINTS", 2)
    tree.write(tree.site / "x-1.dist-info/entry_points.txt", "[torch.backends]\na = a\nb = b\nc = c\n")
    report = tree.report()
    assert not report.complete
    assert "first 2 of its 3 entry points" in report.unread[0].reason


# -- who owns and who may write


def test_files_of_the_system_are_in_its_package_list(tmp_path):
    tree = Tree(tmp_path)
    tree.write(tree.system / "var/lib/dpkg/info/libc6:amd64.list", "/.\n/usr/bin/env\n")
    doors = tree.report(LD_PRELOAD="/usr/bin/env:/usr/bin/id").doors
    owners = {each.path: each.owner for each in doors if each.kind == "named"}
    assert owners["/usr/bin/env"] == Owner(state="listed", distribution="libc6")
    assert owners["/usr/bin/id"] == Owner(state="unowned")


def test_links_are_followed_and_said_with_who_may_write_on_both_ways(tree):
    (tree.folder / "open").mkdir()
    tree.write(tree.folder / "open/real.pth", "import os\n")
    (tree.folder / "open").chmod(0o777)
    (tree.site / "x.pth").symlink_to(tree.folder / "open/real.pth")
    door = tree.doors("pth")["x.pth"]
    assert door.file.link == str(tree.folder / "open/real.pth")
    writers = others_who_may_write(door, os.getuid())
    assert ("others", str(tree.folder / "open")) in {(each.who, each.path) for each in writers}


def test_a_parent_folder_that_others_may_write(tree):
    tree.write(tree.site / "x.pth", "import os\n")
    tree.site.parent.chmod(0o777)
    door = tree.doors("pth")["x.pth"]
    assert str(tree.site.parent) in {each.path for each in others_who_may_write(door, os.getuid())}
    tree.site.parent.chmod(0o1777)  # only the owner of what is in it may replace it
    assert others_who_may_write(tree.doors("pth")["x.pth"], os.getuid()) == ()


def test_saksis_own_door_is_said_as_such(tree):
    tree.write(tree.folder / "recorder/sitecustomize.py")
    report = tree.report(recorder=tree.folder / "recorder")
    (door,) = [each for each in report.doors if each.kind == "saksi"]
    assert (door.acts, door.expected is not None, is_unaccounted(door)) == ("saksi_run", True, False)
    assert report.sealed() == tree.report().sealed()


# -- what cannot be read


@pytest.mark.skipif(AS_ROOT, reason="root may read everything")
def test_a_file_that_may_not_be_read(tree):
    tree.write(tree.site / "x.pth", "import os\n").chmod(0)
    report = tree.report()
    assert not report.complete
    assert "Permission denied" in {each.reason for each in report.unread}
    assert next(each for each in report.doors if each.kind == "pth").acts == "every_start"


def test_special_files_dangling_links_and_loops(tree):
    os.mkfifo(tree.site / "fifo.pth")
    (tree.site / "gone.pth").symlink_to("/nonexistent/x")
    (tree.site / "folder.pth").mkdir()
    report = tree.report()
    assert {each.path.rpartition("/")[2]: each.reason for each in report.unread} == {"fifo.pth": "not a regular file"}
    (tree.site / "fifo.pth").unlink()
    assert tree.report().complete  # Python reads nothing of the other two either
    (tree.site / "loop.pth").symlink_to("loop.pth")
    report = tree.report()
    assert not report.complete
    assert "symbolic links" in report.unread[0].reason


def test_a_pth_file_that_is_too_long_is_named_with_its_digest(tree, monkeypatch):
    monkeypatch.setattr(startup_files, "MAX_STARTUP_FILE", 1000)
    tree.write(tree.site / "long.pth", "import os\n" * 200)
    report = tree.report()
    (door,) = [each for each in report.doors if each.kind == "pth"]
    assert (door.runs_total, door.file.size, door.file.digest is not None) == (100, 2000, True)
    assert "not known" in door.what
    assert "first 1,000 bytes" in report.unread[0].reason


def test_a_sparse_file_is_not_read_to_its_end(tree, monkeypatch):
    monkeypatch.setattr(door_files, "MAX_HASHED", 1 << 20)
    with (tree.site / "huge.pth").open("wb") as file:
        file.write(b"import os\n")
        file.truncate(1 << 30)
    report = tree.report()
    assert not report.complete
    assert next(each for each in report.doors if each.kind == "pth").file.digest is None


def test_names_that_are_no_text(tree):
    (tree.site / os.fsdecode(b"bad\xff.pth")).write_text("import os\n")
    tree.write(tree.site / "binary.pth", bytes(range(256)))
    report = tree.report()
    assert "bad\\xff.pth" in {each.name for each in report.doors}
    assert "not UTF-8" in next(each.what for each in report.doors if each.name == "binary.pth")


def test_thousands_of_start_up_files(tree):
    for number in range(1000):
        tree.write(tree.site / f"n{number:05}.pth", f"import m{number % 7}\n")
    tree.write(tree.site / "m3.py")
    report = tree.report()
    assert sum(each.kind == "pth" for each in report.doors) == 1000
    assert [each.name for each in report.doors if each.kind == "startup_module"] == ["m3"]
    assert report.complete


def test_more_start_up_files_than_are_read_are_told(tree, monkeypatch):
    monkeypatch.setattr(startup_files, "MAX_STARTUP_FILES", 3)
    for number in range(5):
        tree.write(tree.site / f"n{number}.pth", "import os\n")
    report = tree.report()
    assert "first 3 of its 5" in report.unread[0].reason


def test_a_record_that_cannot_be_read_is_not_taken_for_none(tree):
    tree.write(tree.site / "x.pth", "import os\n")
    (tree.site / "x-1.dist-info/RECORD").mkdir(parents=True)
    report = tree.report()
    assert not report.complete
    assert tree.doors("pth")["x.pth"].owner.state == "unread"


def test_an_archive_that_is_too_large_is_told(tree, monkeypatch):
    monkeypatch.setattr(search_path, "MAX_ARCHIVE", 10)
    tree.write(tree.folder / "x.zip", b"x" * 11)
    report = tree.report(PYTHONPATH="x.zip")
    assert not report.complete


def test_another_implementation_is_told(tree):
    python = tree.python()
    pypy = msgspec.structs.replace(python, file=msgspec.structs.replace(python.file, implementation="pypy"))
    report = tree.report(python=pypy)
    assert [each.reason for each in report.unread] == ["pypy is not CPython, whose rules were followed"]


# -- two reports compared


def test_two_reports_in_words(tree):
    before = tree.report().sealed()
    assert compare_doors(before, tree.report().sealed()) == ()
    tree.write(tree.site / "foo.pth", "import os\n")
    place = "{prefix}/lib/python3.11/site-packages/foo.pth"
    after = tree.report(LD_PRELOAD="/x.so").sealed()
    assert compare_doors(before, after) == (
        "a new entry of LD_PRELOAD (/x.so) acts in every program",
        f"a new .pth file foo.pth ({place}) acts at every start",
        "a new variable LD_PRELOAD acts in every program",
    )
