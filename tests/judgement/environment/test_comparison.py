"""An environment that a program laid out as installers do, against the manifest of its wheels; then changed."""

import dataclasses
import os
from pathlib import Path

import pytest

from judgement.environment.manifests import NO_PYTHON, digest
from saksi.edges.environment.wheels import read_wheel
from saksi.judgement.environment import manifest as values
from saksi.judgement.environment.comparison import compare, scripts_to_read
from saksi.judgement.environment.manifest import PythonParts, make_statement, parse_manifest
from saksi.judgement.environment.manifest_sources import manifest_from_tree, manifest_from_wheels
from saksi.judgement.environment.tree import Root, Tree, TreeFile
from saksi.words.errors import SaksiError
from wheels_by_hand import make_wheel, row_of, tree_of

PYTHON = "/venv/bin/python"
GENERATED = (
    "#!/venv/bin/python\nimport sys\nfrom demo.cli import main\nif __name__ == '__main__':\n"
    "    sys.argv[0] = sys.argv[0].removesuffix('.exe')\n    sys.exit(main())\n"
)
PARTS = PythonParts(implementation="cpython", version="3.11.7", cache_tag="cpython-311", platform=None)


@dataclasses.dataclass
class Environment:
    """Site packages and scripts on the disk, and the manifest that they should be of."""

    root: Path
    manifest: object

    @property
    def site(self) -> Path:
        return self.root / "site"

    @property
    def scripts(self) -> Path:
        return self.root / "bin"

    def tree(self):
        return tree_of({"purelib": self.site, "scripts": self.scripts})

    def compare(self, *, interpreters=(PYTHON,), python=PARTS, tree=None, manifest=None):
        tree, manifest = tree or self.tree(), manifest or self.manifest
        contents = {each: (self.scripts / each).read_bytes() for each in scripts_to_read(manifest, tree)}
        return compare(manifest, tree, scripts=contents, interpreters=interpreters, python=python)

    def differences(self, **more):
        return [(each.kind, each.label, each.path) for each in self.compare(**more).differences]

    def put(self, path, content=b"x = 1\n"):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


@pytest.fixture
def environment(tmp_path):
    """Two wheels: what is pure and what is not lie in one folder, scripts beside them."""
    first = make_wheel(
        tmp_path / "wheels",
        files={"demo/__init__.py": b"value = 1\n", "demo/cli.py": b"def main(): ...\n"},
        data={"scripts/old": b"#!python\nprint(1)\n", "scripts/tool.sh": b"#!/bin/sh\n", "data/share/x": b"x",
              "data/bin/native": b"\x7fELF", "headers/demo.h": b"h", "purelib/late.py": b"late = 1\n"},
        entry_points="[console_scripts]\ndemo = demo.cli:main\n",
    )  # fmt: skip
    second = make_wheel(
        tmp_path / "wheels", "fast", tags="cp311-cp311-manylinux1_x86_64", pure=False, files={"fast.so": b"\x7fELF2"}
    )
    made = Environment(tmp_path / "environment", manifest_from_wheels([read_wheel(first), read_wheel(second)]))
    for path, content in {
        "site/demo/__init__.py": "value = 1\n",
        "site/demo/cli.py": "def main(): ...\n",
        "site/demo/__pycache__/cli.cpython-311.pyc": "bytecode",
        "site/late.py": "late = 1\n",
        "site/fast.so": b"\x7fELF2",
        "bin/demo": GENERATED,
        "bin/old": "#!/venv/bin/python\nprint(1)\n",
        "bin/tool.sh": "#!/bin/sh\n",
        "bin/native": b"\x7fELF",
        "bin/activate": "PATH=/venv/bin\n",
    }.items():
        made.put(path, content)
    for name in ("demo", "fast"):
        info = f"site/{name}-1.0.dist-info"
        tags, pure = ("py3-none-any", "true") if name == "demo" else ("cp311-cp311-manylinux1_x86_64", "false")
        made.put(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        made.put(f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: {pure}\nTag: {tags}\n")
        made.put(f"{info}/RECORD", row_of("demo/cli.py", b"def main(): ...\n"))
        made.put(f"{info}/INSTALLER", "pip\n")
    made.put("site/demo-1.0.dist-info/entry_points.txt", "[console_scripts]\ndemo = demo.cli:main\n")
    return made


def test_an_environment_that_was_installed_from_its_wheels_agrees(environment):
    found = environment.compare()
    assert found.differences == ()
    assert found.bytecode == 1
    assert found.agreeing == {"purelib": 9, "scripts": 4}
    assert found.unlisted == ()


def test_what_was_not_compared_is_said(environment):
    tree = environment.tree()
    tree = Tree(roots=tuple(sorted((*tree.roots, Root(label="stdlib", files=())), key=lambda each: each.label)))
    said = {each.subject: each.reason for each in environment.compare(tree=tree).not_covered}
    assert said == {
        "stdlib": "wheels do not say what is there",
        "scripts, activate": "made with the environment, not compared (sh: sets PATH; holds the environment's folder)",
        "data": "1 files of the manifest lie there, and nothing of it was read",
        "headers": "1 files of the manifest lie there, and nothing of it was read",
    }


def test_an_edited_file_and_its_row_in_record_together_are_found(environment):
    edited = b"def main(): return 3\n"
    environment.put("site/demo/cli.py", edited)
    environment.put("site/demo-1.0.dist-info/RECORD", row_of("demo/cli.py", edited))
    (found,) = environment.compare().differences
    assert (found.kind, found.label, found.path, found.distribution) == (
        "differs",
        "purelib",
        "demo/cli.py",
        "demo 1.0",
    )
    assert len(found.expected) == 1
    assert found.found not in found.expected


@pytest.mark.parametrize(
    "path",
    [
        "site/evil.py",
        "site/evil.pth",
        "site/sitecustomize.py",
        "site/demo/evil.pyc",
        "site/demo/__pycache__/evil.py",
        "site/demo/__pycache__/cached.nbc",
        "site/demo/__pycache__/sub/x.pyc",
        "site/other-1.0.dist-info/RECORD",
        "site/demo-1.0.dist-info/more.txt",
        "site/RECORD",
        "bin/evil",
        "bin/sub/activate",
        "bin/demo3",
    ],
)
def test_an_extra_file_is_found(environment, path):
    environment.put(path)
    label = "purelib" if path.startswith("site/") else "scripts"
    assert environment.differences() == [("extra", label, path.partition("/")[2])]


def test_a_distribution_that_is_not_in_the_manifest_is_named(environment):
    environment.put("site/other-2.0.dist-info/METADATA")
    found = environment.compare()
    assert found.unlisted == ("other 2.0",)
    assert [each.kind for each in found.differences] == ["extra"]


def beside(tree, path, content):
    more = TreeFile(path=path, digest=digest(content), size=len(content))
    purelib, scripts = tree.roots
    return Tree(roots=(Root(label="purelib", files=(more, *purelib.files)), scripts))


def test_data_that_record_names_outside_of_the_root_is_compared_where_it_was_read(environment):
    tree = environment.tree()
    found = environment.compare(tree=beside(tree, "../../../share/x", "x"))
    assert found.differences == ()
    assert [each.subject for each in found.not_covered] == ["scripts, activate", "headers"]
    assert environment.compare(tree=beside(tree, "../../../include/site/python3.11/demo/demo.h", "h")).differences == ()
    changed = environment.differences(tree=beside(tree, "../../../share/x", "y"))
    assert changed == [("differs", "purelib", "../../../share/x")]
    assert environment.differences(tree=beside(tree, "../../../share/y", "x")) == [
        ("extra", "purelib", "../../../share/y")
    ]


@pytest.mark.parametrize("path", ["site/demo/cli.py", "site/fast.so", "bin/demo", "bin/old", "bin/tool.sh"])
def test_a_missing_file_is_found(environment, path):
    (environment.root / path).unlink()
    label = "purelib" if path.startswith("site/") else "scripts"
    assert environment.differences() == [("missing", label, path.partition("/")[2])]


def test_a_root_that_could_not_be_listed_whole_misses_nothing_and_says_so(environment):
    (environment.root / "site/fast.so").unlink()
    purelib, scripts = environment.tree().roots
    tree = Tree(roots=(Root(label="purelib", files=purelib.files, reason="too many files"), scripts))
    found = environment.compare(tree=tree)
    assert found.differences == ()
    assert "purelib" in {each.subject for each in found.not_covered}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GENERATED.replace("main())", "main(1))"), "not what a known installer writes for demo.cli:main"),
        (GENERATED.replace("/venv/", "/other/"), "starts '/other/bin/python', not the environment's interpreter"),
        (GENERATED.replace("/venv/bin/python", "/venv/bin/python -c evil"), "starts '/venv/bin/python -c evil'"),
        (GENERATED.removeprefix("#!/venv/bin/python\n"), "does not begin as installers begin a script"),
        ("", "does not begin as installers begin a script"),
    ],
)  # fmt: skip
def test_a_console_script_that_is_not_the_installers(environment, content, said):
    environment.put("bin/demo", content)
    (found,) = environment.compare().differences
    assert (found.kind, found.path, found.distribution) == ("differs", "demo", "demo 1.0")
    assert said in found.detail


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("#!/venv/bin/python\nprint(2)\n", "behind its first line it is not what the manifest says"),
        ("#!/other/bin/python\nprint(1)\n", "starts '/other/bin/python'"),
        ("#!python\nprint(1)\n", "does not begin as installers begin"),
    ],
)
def test_a_rewritten_script_is_compared_behind_its_first_line(environment, content, said):
    environment.put("bin/old", content)
    (found,) = environment.compare().differences
    assert (found.kind, found.path, found.distribution) == ("differs", "old", "demo 1.0")
    assert said in found.detail


def test_without_the_interpreters_names_any_python_will_do_and_it_is_said(environment):
    environment.put("bin/demo", GENERATED.replace("/venv/", "/other/"))
    found = environment.compare(interpreters=())
    assert found.differences == ()
    assert "which interpreter 2 scripts start" in {each.subject for each in found.not_covered}
    environment.put("bin/demo", GENERATED.replace("/venv/bin/python", "/bin/sh"))
    assert environment.differences(interpreters=()) == [("differs", "scripts", "demo")]


def test_a_script_whose_content_was_not_given_is_unread(environment):
    tree = environment.tree()
    for contents in ({}, {"demo": b"other"}):
        found = compare(environment.manifest, tree, scripts=contents, interpreters=(PYTHON,), python=PARTS)
        assert [(each.kind, each.path) for each in found.differences] == [("unread", "demo"), ("unread", "old")]


def unreadable(tree, path, size):
    def changed(each):
        return TreeFile(path=path, digest=None, size=size, reason="permission") if each.path == path else each

    return Tree(roots=tuple(Root(label=r.label, files=tuple(map(changed, r.files))) for r in tree.roots))


def test_an_unreadable_file_is_unread_unless_its_size_says_more(environment):
    tree = environment.tree()
    (found,) = environment.compare(tree=unreadable(tree, "demo/cli.py", 16)).differences
    assert (found.kind, found.detail) == ("unread", "permission")
    (found,) = environment.compare(tree=unreadable(tree, "demo/cli.py", 17)).differences
    assert (found.kind, found.detail) == ("size", "17 bytes instead of 16; permission")


def test_another_interpreter_than_the_wheels_are_for(environment):
    assert environment.manifest.python.version == "3.11"
    other = PythonParts(implementation="cpython", version="3.12.1", cache_tag="cpython-312", platform=None)
    found = environment.compare(python=other)
    assert [each.detail for each in found.differences] == [
        "the manifest is for version 3.11, the interpreter says 3.12.1",
        "the manifest is for cache tag cpython-311, the interpreter says cpython-312",
    ]
    said = environment.compare(python=None).not_covered
    assert "the interpreter's version" in {each.subject for each in said}


def test_the_environments_own_names_of_its_interpreter_are_no_extra_files(environment):
    environment.put("bin/python", b"\x7fELF python")
    assert environment.differences() == [("extra", "scripts", "python")]
    environment.put("exe/python3.11", b"\x7fELF python")
    folders = {"purelib": environment.site, "scripts": environment.scripts, "executable": environment.root / "exe"}
    assert environment.differences(tree=tree_of(folders)) == []


def test_where_both_kinds_of_wheels_have_a_folder_each_file_has_one_place(environment):
    environment.put("site64/fast.so", (environment.site / "fast.so").read_bytes())
    for each in ("METADATA", "WHEEL"):
        environment.put(
            f"site64/fast-1.0.dist-info/{each}", (environment.site / f"fast-1.0.dist-info/{each}").read_bytes()
        )
    folders = {"purelib": environment.site, "platlib": environment.root / "site64", "scripts": environment.scripts}
    found = environment.differences(tree=tree_of(folders))
    assert ("extra", "purelib", "fast.so") in found
    assert all(kind == "extra" and path.startswith("fast") for kind, _, path in found)


def test_pip_puts_its_pythons_version_into_names(tmp_path):
    wheel = make_wheel(tmp_path, "pip", files={}, entry_points="[console_scripts]\npip = p:main\npip3 = p:main\n")
    environment = Environment(tmp_path / "environment", manifest_from_wheels([read_wheel(wheel)]))
    script = GENERATED.replace("demo.cli", "p")
    for name in ("pip", "pip3", "pip3.11"):
        environment.put(f"bin/{name}", script)
    environment.site.mkdir()
    kinds = {path: kind for kind, label, path in environment.differences() if label == "scripts"}
    assert kinds == {}
    environment.put("bin/pip3.11", script + "evil()\n")
    assert ("differs", "scripts", "pip3.11") in environment.differences()
    for name in ("pip", "pip3", "pip3.11"):
        (environment.scripts / name).unlink()
    assert ("missing", "scripts", "pip") in environment.differences()


class TestReference:
    """An installed environment, approved as it is."""

    def manifest(self, environment, interpreters=(PYTHON,)):
        tree = environment.tree()
        scripts = {each.path: (environment.scripts / each.path).read_bytes() for each in tree.roots[1].files}
        return manifest_from_tree(tree, python=PARTS, scripts=scripts, interpreters=interpreters)

    def test_it_agrees_with_itself_and_lists_what_is_installed(self, environment):
        manifest = self.manifest(environment)
        found = environment.compare(manifest=manifest)
        assert found.differences == ()
        assert [(each.name, each.version) for each in manifest.distributions] == [("demo", "1.0"), ("fast", "1.0")]
        assert [each.path for each in manifest.rewritten] == ["demo", "old"]

    def test_in_another_place_only_first_lines_differ(self, environment):
        manifest = self.manifest(environment)
        for name in ("demo", "old"):
            script = environment.scripts / name
            script.write_bytes(script.read_bytes().replace(b"/venv/", b"/elsewhere/"))
        environment.put("site/demo-1.0.dist-info/RECORD", "another\n")
        environment.put("bin/activate", "PATH=/elsewhere/bin\n")
        os.remove(environment.site / "demo/__pycache__/cli.cpython-311.pyc")
        assert environment.differences(manifest=manifest, interpreters=("/elsewhere/bin/python",)) == []
        assert len(environment.differences(manifest=manifest)) == 2

    def test_every_root_of_the_tree_is_compared(self, environment):
        manifest = self.manifest(environment)
        environment.put("lib/os.py")
        folders = {"purelib": environment.site, "scripts": environment.scripts, "stdlib": environment.root / "lib"}
        assert environment.differences(manifest=manifest, tree=tree_of(folders)) == [("extra", "stdlib", "os.py")]
        whole = manifest_from_tree(tree_of(folders), python=NO_PYTHON, scripts={}, interpreters=())
        said = environment.compare(manifest=whole).not_covered
        assert "stdlib" in {each.subject for each in said}

    def test_a_changed_script_of_another_kind_is_found(self, environment):
        manifest = self.manifest(environment)
        environment.put("bin/tool.sh", "#!/bin/sh\nevil\n")
        assert environment.differences(manifest=manifest) == [("differs", "scripts", "tool.sh")]

    def test_a_script_of_another_interpreter_is_bound_with_its_first_line(self, environment):
        manifest = self.manifest(environment, interpreters=("/other/bin/python",))
        assert manifest.rewritten == ()
        assert environment.differences(manifest=manifest) == []

    def test_a_tree_with_a_gap_cannot_be_approved(self, environment):
        tree = unreadable(environment.tree(), "demo/cli.py", 1)
        with pytest.raises(SaksiError, match=r"purelib, 'demo/cli.py' could not be read: permission"):
            manifest_from_tree(tree, python=PARTS, scripts={}, interpreters=())
        tree = Tree(roots=(Root(label="purelib", files=(), reason="permission"),))
        with pytest.raises(SaksiError, match="purelib could not be read whole: permission"):
            manifest_from_tree(tree, python=PARTS, scripts={}, interpreters=())

    def test_odd_names_of_metadata_and_too_many_files_make_no_broken_manifest(self, environment, monkeypatch):
        environment.put("site/My Tool!-1-2.dist-info/METADATA")
        environment.put("site/!-1.dist-info/METADATA")
        manifest = self.manifest(environment)
        assert parse_manifest(make_statement(manifest)) == manifest
        assert [each.name for each in manifest.distributions] == ["demo", "fast", "my-tool", "not-named"]
        monkeypatch.setattr(values, "MAX_MANIFEST_FILES", 3)
        with pytest.raises(SaksiError, match="no manifest can hold this: more than 3 files"):
            self.manifest(environment)
