"""What is listed as acting at every start is exactly what leaves a mark when the interpreter really starts."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edges.environment.door_trees import RealVenv
from saksi.judgement.environment.doors import is_unaccounted

MARK = "import os; open(os.path.join(os.environ['MARKS'], {!r}), 'a').close()\n"
VERSION = sys.version_info[:3]


class Marking(RealVenv):
    """A venv in which every door that is made leaves a file of its name when its code runs."""

    def __init__(self, folder):
        super().__init__(folder)
        self.marks = folder / "marks"
        self.marks.mkdir()

    def put(self, path, mark, *, before=""):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(before + MARK.format(mark), "utf-8")
        return path

    def marked(self, **environment):
        """Which marks a start leaves."""
        around = {**self.environment, **environment, "MARKS": str(self.marks)}
        done = subprocess.run(
            [str(self.path), "-c", "pass"], cwd=self.folder, env=around, check=False, capture_output=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        found = {each.name for each in self.marks.iterdir()}
        for each in self.marks.iterdir():
            each.unlink()
        return found

    def listed(self, **environment):
        """Which of the marked files are said to act at every start."""
        doors = self.report(**environment).doors
        paths = {each.path for each in doors if each.acts == "every_start" and each.kind != "path_file"} - {None}
        return {each for each in paths if each.startswith(f"{self.folder}/")}  # Debian's Python has some of its own


@pytest.fixture(scope="module")
def marking(tmp_path_factory):
    return Marking(tmp_path_factory.mktemp("truth"))


@pytest.fixture
def clean(marking):
    before = set(marking.site.iterdir())
    yield marking
    for each in set(marking.site.iterdir()) - before:
        subprocess.run(["rm", "-rf", str(each)], check=True)
    subprocess.run(["rm", "-rf", str(marking.folder / "first"), str(marking.folder / "src")], check=True)


def test_start_up_files(clean):
    site = clean.site
    made = {
        "plain": clean.put(site / "plain.pth", "plain"),
        "later": clean.put(site / "later.pth", "later", before="# comment\n\n/nonexistent\n"),
        "indented": clean.put(site / "indented.pth", "indented", before="  "),
        "mark": clean.put(site / "bom.pth", "mark", before="\ufeff"),
        "separator": clean.put(site / "separator.pth", "separator", before="x\u2028"),
        "tab": clean.put(site / "tab.pth", "tab", before="import\tsys; "),
        "hidden": clean.put(site / ".hidden.pth", "hidden"),
        "start": clean.put(site / "only.start", "start"),
        "other": clean.put(site / "other.pth.txt", "other"),
        "upper": clean.put(site / "upper.PTH", "upper"),
        "module": clean.put(site / "toy_module.py", "module"),
        "deep": clean.put(site / "toy_package/inner.py", "deep"),
        "package": clean.put(site / "toy_package/__init__.py", "package"),
        "unused": clean.put(site / "unused_module.py", "unused"),
    }
    (site / "imports.pth").write_text("import toy_module, toy_package.inner\n")
    expected = {name for name, path in made.items() if str(path) in clean.listed()}
    assert clean.marked() == expected
    assert {"plain", "later", "tab", "module", "deep", "package"} <= expected
    assert not {"other", "upper", "unused"} & expected
    assert all(
        is_unaccounted(each) for each in clean.report().doors if each.kind == "pth" and each.acts == "every_start"
    )


@pytest.mark.parametrize("form", ["module", "package", "bytecode", "archive", "added"])
def test_sitecustomize(clean, form):
    first, environment = clean.folder / "first", {}
    source = clean.put(clean.folder / "src/sitecustomize.py", "site")
    wanted = source
    if form == "module":
        environment["PYTHONPATH"] = str(source.parent)
    elif form == "package":
        wanted = clean.put(first / "sitecustomize/__init__.py", "site")
        clean.put(clean.site / "sitecustomize.py", "shadowed")
        environment["PYTHONPATH"] = str(first)
    elif form == "bytecode":
        wanted = clean.site / "sitecustomize.pyc"
        command = f"import py_compile; py_compile.compile({str(source)!r}, cfile={str(wanted)!r})"
        subprocess.run([sys.executable, "-c", command], check=True)
    elif form == "archive":
        first.mkdir()
        with zipfile.ZipFile(first / "code.zip", "w") as opened:
            opened.writestr("sitecustomize.py", source.read_text())
        wanted = first / "code.zip/sitecustomize.py"
        environment["PYTHONPATH"] = str(first / "code.zip")
    else:
        (clean.site / "added.pth").write_text(f"{source.parent}\n")
    # Where the standard library has one of its own (Debian's), that comes before the site folders.
    late = form in ("bytecode", "added") and (Path(os.__file__).parent / "sitecustomize.py").exists()
    assert clean.listed(**environment) == (set() if late else {str(wanted)})
    assert clean.marked(**environment) == (set() if late else {"site"})


def test_usercustomize_is_not_imported_here(clean):
    clean.put(clean.site / "usercustomize.py", "user")
    assert clean.listed() == set()
    assert clean.marked() == set()


def test_modules_before_the_standard_librarys(clean):
    first = clean.folder / "first"
    real = subprocess.run(
        [str(clean.path), "-c", "import encodings; print(encodings.__file__)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    # The real package's own text, with our line before it: the interpreter cannot start without. `os` is not there yet.
    mark = "import posix; posix.close(posix.open(posix.environ[b'MARKS'] + b'/encodings', posix.O_CREAT))\n"
    text = (mark + f"__path__ = [{real.rpartition('/')[0]!r}]\n").encode() + Path(real).read_bytes()
    (first / "encodings").mkdir(parents=True)
    (first / "encodings/__init__.py").write_bytes(text)
    clean.put(first / "random.py", "random")
    environment = {"PYTHONPATH": str(first)}
    assert clean.listed(**environment) == {str(first / "encodings/__init__.py")}
    assert clean.marked(**environment) == {"encodings"}


def test_the_category_of_a_warning(clean):
    path = clean.put(clean.folder / "first/toy_warning.py", "warning", before="class W(Warning): pass\n")
    clean.put(clean.site / "late_warning.py", "late", before="class W(Warning): pass\n")
    first = str(path.parent)
    for value, files, marks in (
        ("ignore::toy_warning.W,ignore::late_warning.W", {str(path)}, {"warning"}),  # `site` comes later
        ("ignore::UserWarning", set(), set()),
    ):
        assert clean.listed(PYTHONPATH=first, PYTHONWARNINGS=value) == files
        assert clean.marked(PYTHONPATH=first, PYTHONWARNINGS=value) == marks


@pytest.mark.skipif(VERSION < (3, 11), reason="`pyvenv.cfg` beside a link is read from 3.11 on")
def test_a_home_that_is_elsewhere(clean):
    library = clean.folder / "other/lib" / clean.site.parent.name
    settings = clean.site.parents[2] / "pyvenv.cfg"
    before = settings.read_text()
    try:
        settings.write_text(f"home = {clean.folder / 'other/a/bin'}\n")
        assert clean.marked() == set()
        library.mkdir(parents=True)
        for each in Path(os.__file__).parent.iterdir():
            if each.name not in ("sitecustomize.py", "site-packages", "__pycache__"):
                (library / each.name).symlink_to(each)
        path = clean.put(library / "sitecustomize.py", "moved")
        assert clean.listed() == {str(path)}
        assert clean.marked() == {"moved"}
    finally:
        settings.write_text(before)


def test_what_does_not_act_at_a_start(clean):
    path = clean.put(clean.folder / "src/prompt.py", "prompt")
    clean.put(clean.site / "bp.py", "breakpoint")
    environment = {"PYTHONSTARTUP": str(path), "PYTHONBREAKPOINT": "bp.here"}
    assert clean.listed(**environment) == set()
    assert clean.marked(**environment) == set()


def test_nothing_of_the_environment_is_started_to_look(clean):
    clean.put(clean.site / "evil.pth", "evil")
    clean.put(clean.site / "sitecustomize.py", "site")
    clean.report(MARKS=str(clean.marks))
    assert list(clean.marks.iterdir()) == []
