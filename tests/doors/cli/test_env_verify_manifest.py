"""`saksi env verify --manifest`: an environment against what somebody else said of it."""

import json
import subprocess
import sys

import pytest

from edges.environment.environments import without_stdlib
from saksi.edges.approver_keys import create_key_file
from saksi.edges.seal_files import read_seal_file
from saksi.words.digest import sha256
from wheels_by_hand import make_wheel, row_of


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A wheel, and a virtual environment in which pip installed it."""
    folder = tmp_path_factory.mktemp("made")
    wheel = make_wheel(
        folder / "wheels",
        files={"demo/__init__.py": b"", "demo/cli.py": b"def main(): ...\n"},
        entry_points="[console_scripts]\ndemo = demo.cli:main\n",
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    pip = [sys.executable, "-m", "pip", "--python", folder / "venv/bin/python", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-q", "--no-index", "--no-deps", wheel], check=True)
    return folder


@pytest.fixture
def manifest(home, made, tmp_path, monkeypatch):
    """The manifest of the wheel; the standard library, which no wheel holds, is left out of what is read."""
    without_stdlib(monkeypatch)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    path = tmp_path / "env.manifest"
    assert home.call("env", "manifest", "-o", str(path), "--wheels", str(made / "wheels"))[0] == 0
    return path


@pytest.fixture
def edited(made):
    """A function that changes files of the environment, until the test ends."""
    (site,) = made.glob("venv/lib/python3*/site-packages")
    before = {}

    def edit(path, content):
        before[site / path] = (site / path).read_bytes() if (site / path).exists() else None
        (site / path).write_bytes(content)

    yield edit
    for path, content in before.items():
        path.unlink() if content is None else path.write_bytes(content)


def verify(home, made, manifest, *words):
    code, out, err = home.call(
        "env", "verify", "--python", str(made / "venv"), "--manifest", str(manifest), "--json", *words
    )
    return code, json.loads(out) if out else None, err


def test_an_environment_that_is_as_its_wheels_say_is_verified(home, made, manifest):
    code, report, _ = verify(home, made, manifest)
    assert (code, report["verdict"], report["compared_with"]) == (0, "verified", "manifest")
    assert report["not_checkable"] == report["differences"] == []
    assert any(each.startswith(f"the manifest {manifest}, signed by saksi-installation-") for each in report["trusted"])
    assert any(each.startswith("executable, of which wheels say nothing") for each in report["trusted"])
    assert report["sentence"] == "Every file is as the manifest says. Not in the manifest: executable."
    matched = {each["label"]: each["matched"] for each in report["roots"]}
    assert matched == {"executable": 0, "purelib": 5, "scripts": 1}


def test_an_edited_file_and_its_row_in_record_together_differ(home, made, manifest, edited):
    content = b"def main(): return 3\n"
    (info,) = made.glob("venv/lib/python3*/site-packages/demo-1.0.dist-info")
    rows = (info / "RECORD").read_text().splitlines(keepends=True)
    rows = [row_of("demo/cli.py", content) if each.startswith("demo/cli.py") else each for each in rows]
    edited("demo-1.0.dist-info/RECORD", "".join(rows).encode())
    edited("demo/cli.py", content)
    code, report, _ = verify(home, made, manifest, "--no-bytecode")
    (found,) = report["differences"]
    assert (code, report["verdict"]) == (1, "differs")
    assert (found["kind"], found["path"], found["distribution"]) == ("content_differs", "demo/cli.py", "demo 1.0")


def test_a_file_that_no_wheel_holds_differs(home, made, manifest, edited):
    edited("usercustomize.py", b"import demo\n")
    code, report, _ = verify(home, made, manifest)
    assert code == 1
    assert [(each["kind"], each["path"]) for each in report["differences"]] == [("unowned", "usercustomize.py")]


def test_another_folder_of_the_search_path_cannot_be_checked_with_wheels(home, made, manifest, tmp_path, monkeypatch):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "demo.py").write_text("x = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    code, report, _ = verify(home, made, manifest)
    assert (code, report["verdict"]) == (3, "not_checkable")
    assert [(each["label"], each["reason"]) for each in report["not_checkable"]] == [
        ("path:0", "wheels do not say what is there")
    ]


def test_whose_word_counts(home, made, manifest, tmp_path):
    key = create_key_file(tmp_path / "other", "other")
    code, report, err = verify(home, made, manifest, "--trust", str(tmp_path / "other.vkey"))
    assert (code, report) == (3, None)
    assert "which is no trusted key (give the signer's public key with --trust FILE)" in err
    signed = tmp_path / "signed.manifest"
    words = ("-o", str(signed), "--wheels", str(made / "wheels"), "--key", str(tmp_path / "other"))
    assert home.call("env", "manifest", *words)[0] == 0
    assert verify(home, made, signed)[0] == 3
    code, report, _ = verify(home, made, signed, "--trust", str(tmp_path / "other.vkey"))
    assert code == 0
    assert any(each.endswith(f"signed by {key.label}") for each in report["trusted"])


def test_files_that_are_no_manifest_of_a_trusted_key(home, made, manifest, tmp_path):
    content = manifest.read_bytes()
    at = content.index(b'"sig":"') + len(b'"sig":"')
    wrong = b"B" if content[at : at + 1] == b"A" else b"A"
    manifest.write_bytes(content[:at] + wrong + content[at + 1 :])
    code, report, err = verify(home, made, manifest)
    assert (code, report) == (1, None)
    assert "does not verify" in err
    manifest.write_bytes(b"nonsense")
    assert verify(home, made, manifest)[0] == 1
    code, _, err = verify(home, made, tmp_path / "gone")
    assert code == 2
    assert "gone: No such file or directory (`saksi env manifest -o FILE` makes one)" in err
    code, _, err = home.call("env", "verify", "--trust", str(tmp_path / "gone"))
    assert code == 2
    assert "--trust belongs to --manifest" in err


def seal(home, made, manifest, folder):
    path = folder / "run.seal"
    command = (str(made / "venv/bin/python"), "-c", "pass")
    code, _, err = home.call("seal", "create", "--manifest", str(manifest), "-o", str(path), "--", *command)
    return code, err, path


def test_a_seal_file_names_the_manifest_that_the_environment_agrees_with(home, made, manifest, tmp_path):
    code, _, path = seal(home, made, manifest, tmp_path)
    assert code == 0
    tree = read_seal_file(path).file.environment_tree
    assert tree.manifest == str(sha256(manifest.read_bytes()))
    shown = home.call("seal", "show", str(path))[1]
    assert f"as the manifest {tree.manifest[:19]}" in " ".join(shown.split())


def test_an_environment_that_does_not_agree_with_its_manifest_is_not_sealed(home, made, manifest, edited, tmp_path):
    edited("demo/cli.py", b"def main(): return 3\n")
    code, err, path = seal(home, made, manifest, tmp_path)
    assert code == 2
    assert f"the environment does not agree with {manifest}" in err
    assert not path.exists()
