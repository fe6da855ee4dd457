"""Wheels that pip installed, compared with the manifest of the same wheels."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from saksi.edges.environment.reference import interpreter_of, names_of, python_parts, read_reference
from saksi.edges.environment.script_files import read_scripts
from saksi.edges.environment.wheels import read_wheel, wheel_files
from saksi.judgement.environment.comparison import compare, scripts_to_read
from saksi.judgement.environment.installer_files import ACTIVATION
from saksi.judgement.environment.manifest_sources import manifest_from_tree, manifest_from_wheels
from saksi.judgement.environment.tree import Root, Tree, TreeFile
from saksi.words.errors import SaksiError
from wheels_by_hand import make_wheel, tree_of

VERSION = f"python{sys.version_info[0]}.{sys.version_info[1]}"


class Venv:
    def __init__(self, root, wheels):
        self.root, self.python = root, root / "bin" / "python"
        self.wheels = wheel_files(wheels)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "install", "-q", "--no-index", "--no-deps", *self.wheels], check=True)
        self.site = root / "lib" / VERSION / "site-packages"
        self.described = interpreter_of(self.python, {}, now_ns=0)

    def tree(self, *_):
        found = tree_of({"purelib": self.site, "scripts": self.root / "bin"})
        real = self.described.real_path
        digest = hashlib.sha256(real.read_bytes()).hexdigest()
        executable = TreeFile(path=real.name, digest=f"sha256:{digest}", size=real.stat().st_size)
        return Tree(roots=(Root(label="executable", files=(executable,)), *found.roots))

    def compare(self, manifest):
        tree = self.tree()
        return compare(
            manifest,
            tree,
            scripts=read_scripts(self.root / "bin", scripts_to_read(manifest, tree)),
            interpreters=names_of(self.described),
            python=python_parts(self.described),
        )


@pytest.fixture(scope="module", params=["plain", "with a space in it"])
def venv(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(
        folder,
        files={"demo/__init__.py": b"value = 1\n", "demo/cli.py": b"def main():\n    print('ran')\n"},
        data={"scripts/old": b"#!python\nprint('old')\n", "scripts/tool.sh": b"#!/bin/sh\n", "data/bin/native": b"n",
              "purelib/late.py": b"late = 1\n", "platlib/later.py": b"late = 2\n"},
        entry_points="[console_scripts]\ndemo = demo.cli:main\n[gui_scripts]\nwindow = demo.cli:main [extra]\n",
    )  # fmt: skip
    make_wheel(folder, "fast", pure=False, files={"fast.so": b"\x7fELF"})
    return Venv(tmp_path_factory.mktemp(request.param) / "venv", folder)


def test_what_pip_installs_from_wheels_is_as_their_manifest_says(venv):
    manifest = manifest_from_wheels([read_wheel(each) for each in venv.wheels], python=python_parts(venv.described))
    found = venv.compare(manifest)
    assert found.differences == ()
    assert sum(found.agreeing.values()) == 15
    assert found.bytecode == 4
    said = {each.subject for each in found.not_covered}
    assert said - {f"scripts, {each}" for each in ACTIVATION} == {"executable"}


def test_the_scripts_run_and_an_edited_one_is_found(venv):
    manifest = manifest_from_wheels([read_wheel(each) for each in venv.wheels])
    script = venv.root / "bin" / "demo"
    assert subprocess.run([script], capture_output=True, text=True, check=True).stdout == "ran\n"
    good = script.read_bytes()
    script.write_bytes(good.replace(b"import sys\n", b"import sys; print('edited')\n"))
    try:
        assert [(each.kind, each.path) for each in venv.compare(manifest).differences] == [("differs", "demo")]
    finally:
        script.write_bytes(good)


def test_an_installed_environment_can_be_the_reference(venv):
    read = read_reference(venv.described, read_tree=venv.tree)
    manifest = manifest_from_tree(read.tree, python=read.python, scripts=read.scripts, interpreters=read.interpreters)
    assert venv.compare(manifest).differences == ()
    assert [each.path for each in manifest.rewritten] == ["demo", "old", "window"]
    assert manifest.python.version == ".".join(map(str, sys.version_info[:3]))


def test_what_is_no_interpreter(tmp_path):
    with pytest.raises(SaksiError, match=r"nothing: the interpreter could not be read.*--python"):
        interpreter_of(tmp_path / "nothing", {}, now_ns=0)


def test_scripts_that_cannot_be_read_are_left_out(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(bytes((4 << 20) + 1))
    (tmp_path / "small").write_bytes(b"#!x\n")
    assert read_scripts(tmp_path, ["folder", "large", "small", "gone", "nul\0"]) == {"small": b"#!x\n"}
    assert read_scripts(Path("/nonexistent"), ["small"]) == {}
