"""Environments that were changed, each in one way, and what `env verify` would say; and those that were not."""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from edges.environment.environments import ENVIRONMENT, SGD, Environment, kinds, later, row, without_stdlib
from saksi.edges.environment import bytecode_proof, installed_files
from saksi.edges.environment import tree as edge_tree
from saksi.edges.environment import walk as edge_walk
from saksi.edges.environment.examine import examine
from saksi.edges.environment.interpreter import describe
from saksi.edges.environment.listing import Question, list_environment
from saksi.edges.environment.roots import find_roots
from saksi.judgement.environment.judge import judge_environment
from saksi.words.errors import UsageError

HALVED = SGD.replace("rate=0.1", "rate=0.103")


@pytest.fixture
def there(tmp_path, monkeypatch):
    without_stdlib(monkeypatch)
    environment = Environment(tmp_path / "venv")
    environment.install(files={"toytorch/__init__.py": "", "toytorch/sgd.py": SGD})
    return environment


def test_an_environment_as_it_was_installed(there):
    compileall.compile_dir(there.site, quiet=1)
    report = there.judged()
    assert report.differences == ()
    assert report.not_checkable == ()
    assert report.verdict == "self-consistent"
    assert report.bytecode.files == report.bytecode.equal == 2
    assert any("was asked for its paths, isolated" in each for each in report.trusted)
    assert report.tree.startswith("sha256:")


def test_bytecode_does_not_change_the_tree_digest(there):
    before = there.judged().tree
    there.compile("toytorch/sgd.py")
    assert there.judged().tree == before


def test_an_edited_source_is_named(there):
    there.put("toytorch/sgd.py", HALVED)
    report = there.judged()
    assert kinds(report) == [("content_differs", "purelib", "toytorch/sgd.py")]
    assert report.differences[0].distribution == "toytorch"
    assert report.verdict == "differs"


def test_forged_bytecode_is_named_with_its_function(there):
    there.forge("toytorch/sgd.py", HALVED)
    report = there.judged()
    ((kind, label, path),) = kinds(report)
    assert (kind, label) == ("bytecode_differs", "purelib")
    assert path.startswith("toytorch/__pycache__/sgd.")
    assert report.differences[0].object is not None
    assert "SGD" in report.differences[0].object


@pytest.mark.parametrize(("text", "name"), [
    (SGD.replace("value * rate", "value * rate * 1.03"), "scaled"),
    (SGD.replace("2.0", "2.06"), "SGD.step"),
    (SGD.replace("2.0", "2"), "SGD.step"),
    (f"{SGD}import os\n", "<module>"),
])  # fmt: skip
def test_the_first_function_that_differs_is_named(there, text, name):
    there.forge("toytorch/sgd.py", text)
    assert there.judged().differences[0].object.endswith(name)


def test_forged_bytecode_for_another_optimisation_level_is_named(there):
    there.compile("toytorch/sgd.py", optimise=1)
    forged = there.compile("toytorch/sgd.py", optimise=2)
    assert there.judged().bytecode.equal == 2
    other = compile(HALVED, str(there.site / "toytorch/sgd.py"), "exec", dont_inherit=True, optimize=2)
    forged.write_bytes(forged.read_bytes()[:16] + __import__("marshal").dumps(other))
    assert [each[2] for each in kinds(there.judged())] == [f"toytorch/__pycache__/{forged.name}"]


def test_bytecode_that_python_would_not_check_is_named_whatever_it_says(there):
    there.compile("toytorch/sgd.py", mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert kinds(there.judged())[0][0] == "bytecode_unchecked"
    there.forge("toytorch/sgd.py", HALVED, flags=1)
    assert kinds(there.judged())[0][0] == "bytecode_differs"


def test_checked_hash_bytecode_is_compared_if_its_hash_is_right(there):
    pyc = there.compile("toytorch/sgd.py", mode=py_compile.PycInvalidationMode.CHECKED_HASH)
    assert there.judged().bytecode.equal == 1
    raw = bytearray(pyc.read_bytes())
    raw[8] ^= 1
    pyc.write_bytes(raw)
    report = there.judged()
    assert (report.differences, report.bytecode.not_executed) == ((), 1)


def test_bytecode_of_an_older_source_is_not_executed_and_alleges_nothing(there):
    there.compile("toytorch/sgd.py")
    os.utime(there.site / "toytorch/sgd.py", ns=(1, 10**18))
    report = there.judged()
    assert (report.verdict, report.bytecode.not_executed) == ("self-consistent", 1)
    assert "compiles again" in report.notes[0].message


def test_bytecode_without_a_source(there):
    gone = there.compile("toytorch/sgd.py")
    shutil.copy(gone, there.site / "toytorch" / "extra.pyc")
    shutil.copy(gone, gone.with_name(gone.name.replace("sgd", "removed")))
    assert sorted(kinds(there.judged())) == [
        ("bytecode_without_source", "purelib", "toytorch/extra.pyc"),
        ("unowned", "purelib", "toytorch/extra.pyc"),
    ]


def test_bytecode_without_a_source_that_its_list_has_is_trusted(there, tmp_path):
    content = there.compile("toytorch/sgd.py").read_bytes()
    there.install("closed", files={"closed.pyc": content})
    report = there.judged()
    assert (report.verdict, report.bytecode.listed) == ("self-consistent", 1)


def test_files_that_no_list_has_are_named(there):
    there.put("helpful.py", "x = 1\n")
    there.put("start.pth", "import helpful\n")
    (there.folder / "bin" / "torchrun").write_text("#!/bin/sh\n")
    (there.folder / "bin" / "python3.99").write_text("#!/bin/sh\n")
    assert kinds(there.judged()) == [
        ("unowned", "purelib", "helpful.py"),
        ("unowned", "purelib", "start.pth"),
        ("unowned", "scripts", "python3.99"),
        ("unowned", "scripts", "torchrun"),
    ]


def test_a_listed_file_that_is_missing(there):
    (there.site / "toytorch/sgd.py").unlink()
    assert kinds(there.judged()) == [("missing", "purelib", "toytorch/sgd.py")]


def test_bytecode_that_a_list_names_may_come_and_go(there):
    there.install("other", files={"other.py": ""}, extra_rows=["__pycache__/other.cpython-311.pyc,,"])
    assert there.judged().verdict == "self-consistent"


def test_a_file_edited_together_with_its_list_is_seen_by_a_manifest_only(there):
    expected = {(label, each.path): each.digest for label, each in there.observed(bytecode=False).tree.files()}
    assert there.judged(expected, "reference").verdict == "verified"
    there.install(files={"toytorch/__init__.py": "", "toytorch/sgd.py": HALVED})
    itself = there.judged()
    assert itself.verdict == "self-consistent"
    assert "only an external manifest can show that" in itself.sentence
    report = there.judged(expected, "reference")
    assert report.verdict == "differs"
    assert ("content_differs", "purelib", "toytorch/sgd.py") in kinds(report)


def test_a_manifest_is_compared_in_both_directions_and_says_what_it_does_not_cover(there):
    observed = there.observed(bytecode=False)
    expected = {(label, each.path): each.digest for label, each in observed.tree.files() if label == "purelib"}
    report = there.judged(expected)
    assert report.verdict == "verified"
    assert "Not in the manifest: executable, scripts." in report.sentence
    del expected["purelib", "toytorch/sgd.py"]
    expected["purelib", "toytorch/more.py"] = "sha256:" + "0" * 64
    assert kinds(there.judged(expected)) == [
        ("missing", "purelib", "toytorch/more.py"),
        ("unowned", "purelib", "toytorch/sgd.py"),
    ]


def test_without_its_list_a_distribution_cannot_be_checked(there):
    for damage in (lambda record: record.unlink(), lambda record: record.write_bytes(b"a,b\n")):
        info = there.install("lost", files={"lost/__init__.py": ""}, metadata={"top_level.txt": "lost\n"})
        damage(info / "RECORD")
        report = there.judged()
        assert report.verdict == "not_checkable"
        assert {each.distribution for each in report.not_checkable} == {"lost"}
        assert report.differences == ()


def test_lists_beyond_their_bound_are_not_read_and_it_is_said(there, monkeypatch):
    there.install("second", files={"second.py": ""})
    monkeypatch.setattr(
        installed_files, "MAX_LISTS_BYTES", (there.site / "toytorch-1.0.dist-info/RECORD").stat().st_size + 5
    )
    report = there.judged()
    assert report.verdict == "not_checkable"
    assert any("bytes of lists in one root are not read" in each.reason for each in report.not_checkable)


def test_left_out_bytecode_is_never_clean(there):
    there.forge("toytorch/sgd.py", HALVED)
    report = there.judged(bytecode=False)
    assert report.verdict == "not_checkable"
    assert "--no-bytecode" in report.not_checkable[0].reason


def test_a_file_that_may_not_be_read(there, monkeypatch):
    opened = os.open

    def refused(path, *arguments, **options):
        if str(path).endswith("toytorch/sgd.py"):  # root may read everything, so the system is played here
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(edge_tree.os, "open", refused)
    report = there.judged()
    assert (report.verdict, report.tree) == ("not_checkable", None)
    assert [(each.path, each.reason) for each in report.not_checkable] == [("toytorch/sgd.py", "Permission denied")]


def test_folders_that_go_too_deep_and_trees_that_are_too_large(there, monkeypatch):
    monkeypatch.setattr(edge_walk, "MAX_DEPTH", 4)
    there.put("a/b/c/d/e/deep.py", "")
    report = there.judged()
    assert any("folders deep" in each.reason for each in report.not_checkable)
    walked, reason, *_ = edge_walk.walk(edge_walk.Place(label="purelib", folder=str(there.site)), limit=3)
    assert (len(walked), reason) == (3, "more than 3 files: the rest was not listed")


def test_what_is_no_file_and_leads_nowhere_is_said(there):
    (there.site / "round").symlink_to("round")
    (there.site / "gone.py").symlink_to("nowhere.py")
    (there.site / "up").symlink_to("..")
    os.mkfifo(there.site / "pipe")
    report = there.judged()
    reasons = {each.path: each.reason for each in report.not_checkable}
    assert report.verdict == "not_checkable"
    assert "loop" in reasons["round"]
    assert "not there" in reasons["gone.py"]
    assert any("its own folder" in each for each in reasons.values())
    assert reasons["pipe"] == "not a regular file"


def test_a_file_that_changes_while_it_is_read(there, monkeypatch):
    victim = there.site / "toytorch/sgd.py"
    read = os.read

    def slow(descriptor, length):
        content = read(descriptor, length)
        if content == SGD.encode():
            os.utime(victim)
        return content

    monkeypatch.setattr(edge_tree.os, "read", slow)
    report = there.judged()
    monkeypatch.undo()
    assert report.verdict == "not_checkable"
    assert [(each.path, each.reason) for each in report.not_checkable] == [
        ("toytorch/sgd.py", "it changed while it was read")
    ]


def test_bytecode_that_changes_before_it_is_compared(there, monkeypatch):
    pyc = there.compile("toytorch/sgd.py")
    whole = bytecode_proof._whole
    monkeypatch.setattr(bytecode_proof, "_whole", lambda path: whole(path) + b"x" * path.endswith(".pyc"))
    report = there.judged()
    assert (report.verdict, report.bytecode.not_checked) == ("not_checkable", 1)
    assert report.not_checkable[0].path == f"toytorch/__pycache__/{pyc.name}"


def test_a_list_that_still_has_the_script_of_the_wheel(there):
    original = b"#!python\nprint(1)\n"
    script = there.folder / "bin" / "toy"
    there.install("scripted", files={"scripted.py": ""}, extra_rows=[row("../../../bin/toy", original)])
    script.write_bytes(f"#!{there.python}\nprint(1)\n".encode())
    assert there.judged().verdict == "self-consistent"
    script.write_bytes(f"#!{there.python}\nprint(2)\n".encode())
    assert kinds(there.judged()) == [("content_differs", "scripts", "toy")]


def test_a_list_may_name_files_of_the_prefix_and_none_beyond(there, tmp_path):
    page = there.folder / "share" / "man" / "toy.1"
    page.parent.mkdir(parents=True)
    page.write_bytes(b"page")
    (tmp_path / "beyond").write_bytes(b"secret")
    beyond = os.path.relpath(tmp_path / "beyond", there.site)
    rows = [row("../../../share/man/toy.1", b"page")]
    there.install("documented", files={"documented.py": ""}, extra_rows=rows)
    assert there.judged().verdict == "self-consistent"
    page.write_bytes(b"another")
    assert kinds(there.judged()) == [("content_differs", "purelib", "../../../share/man/toy.1")]
    page.write_bytes(b"page")
    there.install("documented", files={"documented.py": ""}, extra_rows=[*rows, row(beyond, b"secret")])
    report = there.judged()
    assert report.verdict == "not_checkable"
    assert "outside of the environment" in report.not_checkable[0].reason


def test_a_file_that_two_distributions_list(there):
    there.install("one", files={"shared/__init__.py": "a = 1\n"})
    there.install("two", files={"shared/__init__.py": "a = 2\n"})
    report = there.judged()
    assert report.verdict == "self-consistent"
    assert "one also lists it, with other content; it is that of two" in report.notes[0].message


def test_namespace_packages_have_no_file_of_their_own(there):
    there.install("half-a", files={"space/a.py": ""})
    there.install("half-b", files={"space/b.py": ""})
    assert there.judged().verdict == "self-consistent"


# -- further roots


def labels(report):
    return {each.label: Path(each.folder) for each in report.roots}


def direct_url(checkout):
    return {"direct_url.json": json.dumps({"url": f"file://{checkout}", "dir_info": {"editable": True}})}


def test_editable_installations_are_followed(there, tmp_path):
    flat, mapped, bare = (tmp_path / each for each in ("flat", "mapped", "bare"))
    for checkout in (flat, mapped, bare):
        (checkout / "pkg").mkdir(parents=True)
        (checkout / "pkg" / "__init__.py").write_text("")
        (checkout / ".git").mkdir()
        (checkout / ".git" / "config").write_text("")
    (mapped / "tests").mkdir()
    (mapped / "tests" / "test_it.py").write_text("")
    there.install("flat", files={"__editable__.flat-1.0.pth": f"{flat}\n"}, metadata=direct_url(flat))
    finder = f"MAPPING: dict[str, str] = {{'pkg': '{mapped}/pkg'}}\n"
    there.install(
        "mapped", files={"__editable___mapped_1_0_finder.py": finder, "__editable__.mapped-1.0.pth": "import x\n"},
        metadata=direct_url(mapped),
    )  # fmt: skip
    there.install("bare", files={"bare_loader.py": ""}, metadata=direct_url(bare))
    report = there.judged()
    found = labels(report)
    assert {found[f"editable:{each}"] for each in ("flat", "mapped", "bare")} == {flat, mapped, bare}
    assert {each.label: each.files for each in report.roots if each.label.startswith("editable")} == {
        "editable:bare": 1, "editable:flat": 1, "editable:mapped": 1,
    }  # fmt: skip
    assert report.verdict == "self-consistent"
    assert "editable:flat: no list has its files (1 file)" in report.trusted


def test_an_editable_installation_in_the_old_way(there, tmp_path):
    checkout = tmp_path / "old"
    (checkout / "old").mkdir(parents=True)
    (checkout / "old" / "__init__.py").write_text("")
    there.put("old-thing.egg-link", f"{checkout}\n.\n")
    there.put("easy-install.pth", f"{checkout}\n")
    report = there.judged()
    assert labels(report)["editable:old-thing"] == checkout
    assert report.differences == ()


def test_a_line_of_code_in_a_file_of_paths_is_named(there, tmp_path):
    there.put("easy-install.pth", f"{tmp_path}\nimport os\n")
    there.put("_virtualenv.pth", "import _virtualenv")
    there.put("_virtualenv.py", "evil = 1\n")
    report = there.judged()
    assert kinds(report) == [("unowned", "purelib", "easy-install.pth")]
    assert [each.path for each in report.not_checkable] == ["_virtualenv.py"]


def test_an_editable_installation_whose_checkout_is_gone(there, tmp_path):
    there.install("away", files={"away.pth": f"{tmp_path}/away\n"}, metadata=direct_url(tmp_path / "away"))
    report = there.judged()
    assert report.verdict == "not_checkable"
    assert "editable:away: its checkout is not there" in [each.reason for each in report.not_checkable]


def test_forged_bytecode_of_a_checkout_and_of_a_further_path_is_named(there, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.py").write_text(SGD)
    there.put("more.pth", f"# a comment\n\n{tmp_path / 'second'}\nimport sys\n")
    (there.site / "toytorch/sgd.py").write_text(SGD)
    forged = there.forge("toytorch/sgd.py", HALVED).read_bytes()
    for name in ("first", "second"):
        pyc = Path(py_compile.compile(str(tmp_path / name / "mine.py")))
        pyc.write_bytes(pyc.read_bytes()[:16] + forged[16:])
    report = there.judged(environment={**ENVIRONMENT, "PYTHONPATH": str(tmp_path / "first")})
    found = [each[:2] for each in kinds(report) if each[0] == "bytecode_differs"]
    assert found == [("bytecode_differs", "path:0"), ("bytecode_differs", "path:1"), ("bytecode_differs", "purelib")]


def test_a_target_folder_on_the_path_is_judged_by_its_lists(there, tmp_path):
    target = Environment.__new__(Environment)
    target.site = tmp_path / "target"
    script = b"#!/usr/bin/python3\nprint(1)\n"
    target.install("aimed", files={"aimed.py": ""}, extra_rows=[row("../../bin/aimed", script)])
    target.put("bin/aimed", script)
    environment = {**ENVIRONMENT, "PYTHONPATH": str(target.site)}
    assert there.judged(environment=environment).verdict == "self-consistent"
    target.put("bin/more", "x")
    assert kinds(there.judged(environment=environment)) == [("unowned", "path:0", "bin/more")]


def test_an_environment_that_sees_its_base(there):
    def found():
        python = describe(there.python, ENVIRONMENT, cache=None, now_ns=later())
        return {each.label: each.folder for each in find_roots(python, ENVIRONMENT, there.folder).places}

    assert not any(each.startswith("base-site:") for each in found())
    configuration = there.folder / "pyvenv.cfg"
    configuration.write_text(configuration.read_text().replace("false", "true"))
    seen = [folder for label, folder in found().items() if label.startswith("base-site:")]
    assert seen
    assert all(Path(each).is_relative_to(os.path.realpath(sys.base_prefix)) for each in seen)


def test_the_standard_library_without_the_site_folder_inside(tmp_path):
    environment = Environment(tmp_path / "venv")
    listing = list_environment(environment.question(), now_ns=later())
    names = {each.place.label: {file.path for file in each.walked} for each in listing.listed}
    assert "os.py" in names["stdlib"]
    assert not any(each.startswith("site-packages/") for each in names["stdlib"])
    assert Path(os.path.realpath(sys.executable)).name in names["executable"]


# -- conda


@pytest.fixture
def conda(there):
    """A prefix as conda leaves it, made by hand: its lists have every file, in the prefix as it is."""
    library = there.folder / "lib" / "libmkl.so"
    library.write_bytes(b"mkl")
    (there.folder / "conda-meta").mkdir()
    listed = [(library, "mkl"), *((path, None) for path in sorted(there.site.rglob("*")) if path.is_file())]
    paths = [
        {
            "_path": str(path.relative_to(there.folder)),
            "path_type": "hardlink",
            "sha256": "0" * 64,
            "sha256_in_prefix": __import__("hashlib").sha256(path.read_bytes()).hexdigest(),
            "size_in_bytes": 1,
        }
        for path, _ in listed
    ]
    paths.append({"_path": f"{there.site.relative_to(there.folder)}/entry.py", "path_type": "unix_python_entry_point"})
    there.put("entry.py", "")
    document = {"name": "everything", "version": "1", "paths_data": {"paths": paths, "paths_version": 1}, "build": "0"}
    (there.folder / "conda-meta" / "everything-1-0.json").write_text(json.dumps(document))
    there.put("toytorch-1.0.dist-info/RECORD", "toytorch/sgd.py,,\n")
    return there


def test_a_conda_prefix_is_judged_by_condas_lists(conda):
    report = conda.judged()
    assert (report.verdict, report.differences) == ("self-consistent", ())
    assert any("made by conda at installation" in each for each in report.trusted)
    (conda.folder / "lib" / "libmkl.so").write_bytes(b"another")
    conda.put("toytorch/sgd.py", HALVED)
    found = kinds(conda.judged())
    assert ("content_differs", "purelib", "../../libmkl.so") in found
    assert ("content_differs", "purelib", "toytorch/sgd.py") in found


def test_a_list_of_conda_that_does_not_parse(conda):
    (conda.folder / "conda-meta" / "broken.json").write_text("{")
    report = conda.judged()
    assert any(each.distribution == "broken" for each in report.not_checkable)


# -- other interpreters


def test_an_environment_whose_interpreter_does_not_start_here(there):
    there.python.unlink()
    there.python.write_bytes(b"\x7fELF of another machine")
    there.python.chmod(0o755)
    there.compile("toytorch/sgd.py")
    there.put("toytorch/__init__.py", "x = 1\n")
    report = there.judged()
    assert report.python.version is None
    assert any("could not be asked" in each.reason for each in report.not_checkable)
    assert kinds(report)[0] == ("content_differs", "purelib", "toytorch/__init__.py")
    assert report.bytecode.equal == 0


def test_bytecode_of_another_python_is_not_executed(there):
    pyc = there.compile("toytorch/sgd.py")
    shutil.copy(pyc, pyc.with_name("sgd.cpython-36.pyc"))
    pyc.write_bytes(b"\0\0\r\n" + pyc.read_bytes()[4:])
    report = there.judged()
    assert (report.verdict, report.bytecode.not_executed) == ("self-consistent", 2)


def test_no_interpreter_at_all(tmp_path):
    question = Question(python=tmp_path / "python", environment=ENVIRONMENT, folder=tmp_path, cache=None)
    with pytest.raises(UsageError, match="--python"):
        examine(question, now_ns=later())


# -- the cache


def test_what_did_not_change_is_not_read_again(there, tmp_path, monkeypatch):
    there.compile("toytorch/sgd.py")
    first = there.judged(cache=tmp_path / "cache")
    monkeypatch.setattr(edge_tree, "_read_small", lambda file: pytest.fail(f"{file.path} was read again"))
    monkeypatch.setattr(bytecode_proof.Prover, "prove", lambda *_: pytest.fail("compared again"))
    again = there.judged(cache=tmp_path / "cache")
    assert msgspec.json.encode(again) == msgspec.json.encode(first)
    assert again.bytecode.equal == 1


def test_what_changed_is_seen_whatever_its_size_and_times(there, tmp_path):
    path = there.site / "toytorch/sgd.py"
    before = path.stat()
    assert there.judged(cache=tmp_path / "cache").verdict == "self-consistent"
    path.write_text(SGD.replace("0.1", "0.2"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert kinds(there.judged(cache=tmp_path / "cache")) == [("content_differs", "purelib", "toytorch/sgd.py")]


def test_a_cache_that_others_can_write_is_not_believed(there, tmp_path):
    cache = tmp_path / "cache"
    there.judged(cache=cache)
    (files,) = cache.glob("environment/*/files")
    assert files.stat().st_mode & 0o777 == 0o600
    read = []
    for damage in (lambda: files.chmod(0o666), lambda: files.write_bytes(files.read_bytes()[:-1])):
        damage()
        with pytest.MonkeyPatch.context() as patch:
            small = edge_tree._read_small
            patch.setattr(edge_tree, "_read_small", lambda file, small=small: read.append(file.path) or small(file))
            assert there.judged(cache=cache).verdict == "self-consistent"
        assert "toytorch/sgd.py" in read
        read.clear()
        files.chmod(0o600)


def test_young_files_are_read_each_time(there, tmp_path, monkeypatch):
    young = (there.site / "toytorch/sgd.py").stat().st_ctime_ns + 1
    there.judged(cache=tmp_path / "cache", now_ns=young)
    read = []
    small = edge_tree._read_small
    monkeypatch.setattr(edge_tree, "_read_small", lambda file: read.append(file.path) or small(file))
    there.judged(cache=tmp_path / "cache", now_ns=young)
    assert "toytorch/sgd.py" in read


# -- a real one


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_real_environment_with_torch_alleges_nothing(tmp_path):
    python = Path(__file__).resolve().parents[3] / ".venv-train" / "bin" / "python"
    question = Question(
        python=python,
        environment=ENVIRONMENT,
        folder=tmp_path,
        cache=tmp_path,
        sources=frozenset({("purelib", "torch/optim/adamw.py"), ("purelib", "torch/optim/sgd.py")}),
    )
    report = judge_environment(examine(question, now_ns=later()))
    assert report.differences == ()
    assert {each.reason for each in report.not_checkable} <= {"bytecode was not compared with its source"}
    assert report.bytecode.equal == 2
    assert sum(each.matched for each in report.roots) > 10_000
