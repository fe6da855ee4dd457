import json
import subprocess
import sys
from importlib import resources

import jsonschema
import pytest

from saksi.edges.approver_keys import create_key_file
from saksi.edges.home import Home
from saksi.edges.keys import open_keyring
from saksi.judgement.environment.manifest import open_manifest
from saksi.words.errors import MissingKey
from wheels_by_hand import make_wheel


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    make_wheel(folder, "demo", entry_points="[console_scripts]\ndemo = demo.cli:main\n")
    make_wheel(folder, "other", "2.0", files={"other.py": b"x = 1\n"})
    return folder


@pytest.fixture
def lock(tmp_path, home, wheels):
    _, out, _ = home.call("env", "manifest", "-o", str(tmp_path / "for-lock"), "--wheels", str(wheels), "--json")
    path = tmp_path / "lock.txt"
    each = json.loads(out)["distributions"]
    path.write_text("".join(f"{one['name']}=={one['version']} --hash={one['digest']}\n" for one in each))
    return path


def test_a_manifest_is_made_signed_and_said(home, tmp_path, wheels):
    output = tmp_path / "env.manifest"
    code, out, err = home.call("env", "manifest", "-o", str(output), "--wheels", str(wheels))
    assert (code, err) == (0, "")
    signer = open_keyring(Home(home.root), create=False).signer
    opened = open_manifest(output.read_bytes(), [signer.key])
    assert [each.name for each in opened.manifest.distributions] == ["demo", "other"]
    assert out.startswith(f"{output}: 2 distributions for any Python 3\n7 files, ")
    assert "and 1 scripts\ntree sha256:" in out
    assert f"signed by {signer.key.label}" in out


def test_json_is_what_its_schema_says_and_the_same_wheels_give_the_same_file(home, tmp_path, wheels, lock):
    output = tmp_path / "env.manifest"
    code, out, _ = home.call(
        "env", "manifest", "-o", str(output), "--wheels", str(wheels), "--lock", str(lock), "--python", sys.executable,
        "--json",
    )  # fmt: skip
    assert code == 0
    said = json.loads(out)
    schema = json.loads((resources.files("saksi.doors") / "schemas" / "env-manifest-v1.json").read_text())
    jsonschema.validate(said, schema)
    assert said["python"]["version"] == f"3.{sys.version_info[1]}"
    assert [each["files"] for each in said["distributions"]] == [4, 3]
    again = tmp_path / "again"
    home.call("env", "manifest", "-o", str(again), "--wheels", str(wheels), "--python", sys.executable)
    assert again.read_bytes() == output.read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A virtual environment with nothing but one module in it."""
    root = tmp_path_factory.mktemp("small") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root], check=True)
    (site,) = root.glob("lib/python3*/site-packages")
    (site / "mine.py").write_text("value = 1\n")
    return root


def test_an_installed_environment_may_be_approved_as_it_is(home, tmp_path, monkeypatch, small):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "other.py").write_text("x = 1\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "mine"))
    output = tmp_path / "env.manifest"
    code, out, _ = home.call("env", "manifest", "-o", str(output), "--reference", "--python", str(small), "--json")
    assert code == 0
    assert json.loads(out)["source"] == "reference"
    key = open_keyring(Home(home.root), create=False).signer.key
    roots = {root.label: root.files for root in open_manifest(output.read_bytes(), [key]).manifest.roots}
    assert [each.path for each in roots["purelib"]] == ["mine.py"]
    assert "os.py" in {each.path for each in roots["stdlib"]}
    assert "path:0" not in roots


def test_an_environment_that_cannot_be_read_whole_is_not_approved(home, tmp_path, small):
    (site,) = small.glob("lib/python3*/site-packages")
    (site / "gone.py").symlink_to("nowhere")
    try:
        words = ("env", "manifest", "-o", str(tmp_path / "m"), "--reference", "--python", str(small))
        code, out, err = home.call(*words)
    finally:
        (site / "gone.py").unlink()
    assert (code, out) == (4, "")
    assert err == (
        "saksi: purelib, 'gone.py' could not be read: a link to something that is not there "
        "(make it readable or take it away, then again)\n"
    )
    assert not (tmp_path / "m").exists()


def test_other_keys_may_sign_instead(home, tmp_path, wheels):
    keys = [create_key_file(tmp_path / name, name) for name in ("one", "two")]
    output = tmp_path / "env.manifest"
    words = [word for name in ("one", "two", "one") for word in ("--key", str(tmp_path / name))]
    assert home.call("env", "manifest", "-o", str(output), "--wheels", str(wheels), *words)[0] == 0
    assert open_manifest(output.read_bytes(), keys).signed_by == tuple(each.label for each in keys)
    assert not (home.root / "keys").exists()
    with pytest.raises(MissingKey):
        open_manifest(output.read_bytes(), [open_keyring(Home(home.root)).signer.key])


def test_what_a_lock_leaves_to_no_wheel_is_listed(home, tmp_path, wheels, lock):
    lock.write_text(lock.read_text() + "".join(f"-e ./mine-{number}\n" for number in range(14)))
    code, out, _ = home.call("env", "manifest", "-o", str(tmp_path / "m"), "--wheels", str(wheels), "--lock", str(lock))
    assert code == 0
    assert "not covered: 14\n  - mine-0: installed editable, from a folder: no wheel says what it holds\n" in out
    assert "  2 more: --json" in out


@pytest.fixture
def faulty(tmp_path, monkeypatch, lock):
    """The names of folders and files, in the current folder, most of which are wrong in some way."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bare.txt").write_text("demo==1.0\n")
    make_wheel(tmp_path / "broken", "bad").write_bytes(b"no archive")
    for version in ("1.0", "3.0"):
        make_wheel(tmp_path / "two", "demo", version)
    for name, number in (("demo", "1.0"), ("other", "2.0")):
        make_wheel(tmp_path / "changed", name, number, files={"changed.py": b""})
    return {"W": "wheels", "L": lock.name, "BARE": "bare.txt", "BROKEN": "broken", "TWO": "two", "CHANGED": "changed"}


@pytest.mark.parametrize(
    "case",
    [
        ((), 2, "say where from, once (--wheels DIR, or --reference)"),
        (("--wheels", "W", "--reference"), 2, "say where from, once"),
        (("--reference", "--lock", "L"), 2, "--lock belongs to --wheels"),
        (("--wheels", "gone"), 2, "gone: No such file or directory"),
        (("--wheels", "W", "--lock", "gone"), 2, "gone: No such file or directory (give a lock file with hashes)"),
        (("--wheels", "W", "--lock", "BARE"), 2, "line 1: demo has no --hash=sha256:"),
        (("--wheels", "W", "--lock", "L", "-o", "L"), 2, "is there already"),
        (("--wheels", "W", "-o", "gone/m"), 2, "gone is no folder"),
        (("--wheels", "W", "--key", "L"), 2, "lock.txt"),
        (("--wheels", "W", "--python", "gone"), 2, "gone: the command was not found"),
        (("--reference", "--python", "gone"), 2, "gone: the command was not found"),
        (("--wheels", "BROKEN"), 1, "wheel, bad-1.0-py3-none-any.whl: a broken archive"),
        (("--wheels", "TWO"), 2, "demo-3.0-py3-none-any.whl: of the same distribution as demo-1.0-py3-none-any.whl"),
        (("--wheels", "CHANGED", "--lock", "L"), 1, "is none of those at "),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_no_file(home, tmp_path, faulty, case):
    words, code, said = case
    before = sorted(tmp_path.iterdir())
    given = ["-o", "made", *words] if "-o" not in words else list(words)
    ended, out, err = home.call("env", "manifest", *(faulty.get(each, each) for each in given))
    assert (ended, out) == (code, "")
    assert said in err
    assert err.startswith("saksi: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
