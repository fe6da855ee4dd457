import hashlib
import os
import stat
import zipfile
from pathlib import Path

import pytest

from saksi.edges.environment import wheels
from saksi.edges.environment.reference import read_manifest_file
from saksi.edges.environment.wheels import read_lock_file, read_wheel, wheel_files
from saksi.judgement.environment.wheel import EntryPoint
from saksi.words.errors import MalformedInput, SaksiError, UnsupportedVersion, UsageError
from wheels_by_hand import EPOCH, make_wheel, row_of


def sha(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def member(name, mode=stat.S_IFREG | 0o644):
    described = zipfile.ZipInfo(name, EPOCH)
    described.external_attr = mode << 16
    return described


def test_a_wheel_lists_its_members_with_their_digests(tmp_path):
    path = make_wheel(
        tmp_path,
        files={"demo/__init__.py": b"", "demo/a.py": b"a = 1\n"},
        data={"scripts/old": b"#!python -E\nprint(1)\n", "scripts/sh": b"#!/bin/sh\n", "data/share/x": b"x"},
        entry_points="[console_scripts]\nrun = demo.cli:main\n[other]\nx = y\n",
        pure=False,
    )
    heard = []
    read = read_wheel(path, told=heard.append)
    assert (read.file, read.digest, read.size) == (path.name, sha(path.read_bytes()), path.stat().st_size)
    assert (read.name.distribution, read.name.version, read.purelib) == ("demo", "1.0", False)
    assert read.metadata_folder == "demo-1.0.dist-info"
    assert read.entry_points == (EntryPoint(name="run", module="demo.cli", attribute="main"),)
    found = {each.path: each for each in read.members}
    assert found["demo/a.py"].digest == sha(b"a = 1\n")
    assert found["demo/a.py"].behind is None
    assert found["demo-1.0.data/scripts/old"].behind == (sha(b"print(1)\n"), 9)
    assert found["demo-1.0.data/scripts/sh"].behind is None
    assert 0 < sum(heard) <= read.size


@pytest.mark.parametrize("algorithm", ["sha384", "sha512"])
def test_record_may_use_a_longer_hash(tmp_path, algorithm):
    content = b"value = 1\n"
    info = {"METADATA": b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n",
            "WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}  # fmt: skip
    rows = row_of("demo/__init__.py", content, algorithm)
    rows += "".join(row_of(f"demo-1.0.dist-info/{name}", each) for name, each in info.items())
    record = rows + "demo-1.0.dist-info/RECORD,,\n"
    assert read_wheel(make_wheel(tmp_path / "good", record=record)).members
    bad = record.replace(rows.split("=")[1][:6], "AAAAAA", 1)
    with pytest.raises(MalformedInput, match="not what its RECORD says"):
        read_wheel(make_wheel(tmp_path / "bad", record=bad))


BAD_ROW = row_of("demo/__init__.py", b"other\n")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"record": BAD_ROW}, r"'demo-1.0.dist-info/METADATA' is in the archive and not in its RECORD"),
        ({"more_record": BAD_ROW}, "two rows of 'demo/__init__.py' differ"),
        ({"more_record": row_of("demo/gone.py", b"")}, "is in its RECORD and not in the archive"),
        ({"more_record": "demo/x.py,md5=AAAA,1\n"}, "row 4: 'md5=AAAA' is not a SHA-256"),
        ({"more_record": "demo/x.py,sha256=AAAA,1\n"}, "is not a digest"),
        ({"more_record": "demo/x.py,,\n", "raw": ((member("demo/x.py"), b""),)}, "RECORD has no hash of 'demo/x.py'"),
        ({"more_record": "demo/x.py,1\n"}, "2 columns instead of 3"),
        ({"more_record": "demo/x.py,,x\n"}, "'x' is not a size"),
        ({"more_record": '"demo\n'}, "not comma-separated text"),
        ({"leave_out": ("demo-1.0.dist-info/RECORD",)}, "no 'demo-1.0.dist-info/RECORD' in it"),
        ({"leave_out": ("demo-1.0.dist-info/WHEEL",)}, "no 'demo-1.0.dist-info/WHEEL' in it"),
        ({"wheel_text": "Root-Is-Purelib: true\n"}, "its WHEEL names no Wheel-Version"),
        ({"entry_points": "[console_scripts]\nrun = demo\n"}, "'demo' names no function"),
        ({"entry_points": "[console_scripts]\nrun\n"}, "is not NAME = MODULE:FUNCTION"),
        ({"entry_points": "[gui_scripts]\n../run = demo:main\n"}, "cannot be the name of a script"),
        ({"entry_points": "[console_scripts]\nrun = demo:main; evil()\n"}, "names no function"),
        ({"raw": ((member("other-1.0.dist-info/METADATA"), b""),)}, "2 folders of metadata"),
        ({"raw": ((member("../up.py"), b""),)}, "leads out of the folder"),
        ({"raw": ((member("/etc/passwd"), b""),)}, "leads out of the folder"),
        ({"raw": ((member("a\\b.py"), b""),)}, "leads out of the folder"),
        ({"raw": ((member("C:/b.py"), b""),)}, "leads out of the folder"),
        ({"raw": ((member("demo/link", stat.S_IFLNK | 0o777), b"/etc/passwd"),)}, "is a link or a device"),
        ({"raw": ((member("demo/extra.py"), b""),)}, "'demo/extra.py' is in the archive and not in its RECORD"),
    ],
)  # fmt: skip
def test_a_wheel_that_contradicts_itself_is_refused_with_its_name(tmp_path, parts, said):
    path = make_wheel(tmp_path, **parts)
    with pytest.raises(MalformedInput, match=said) as refused:
        read_wheel(path)
    assert str(refused.value).startswith(f"wheel, {path.name}")
    assert "\n" not in str(refused.value)


def test_a_member_whose_size_record_gets_wrong_is_refused(tmp_path):
    size = len(b"value = 1\n")
    with zipfile.ZipFile(make_wheel(tmp_path)) as archive:
        content = archive.read("demo-1.0.dist-info/RECORD").decode()
    path = make_wheel(tmp_path / "again", record=content.replace(f",{size}\n", f",{size + 1}\n", 1))
    with pytest.raises(MalformedInput, match="not what its RECORD says"):
        read_wheel(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path):
    path = make_wheel(tmp_path, raw=((member("demo/__init__.py"), b"other = 2\n"),))
    with pytest.raises(MalformedInput, match="is there twice"):
        read_wheel(path)


def test_a_format_of_another_generation_is_another_version(tmp_path):
    with pytest.raises(UnsupportedVersion, match=r"of format 2\.0"):
        read_wheel(make_wheel(tmp_path, wheel_text="Wheel-Version: 2.0\n"))


def test_metadata_of_another_distribution_is_refused(tmp_path):
    path = make_wheel(tmp_path)
    renamed = path.rename(tmp_path / "other-1.0-py3-none-any.whl")
    with pytest.raises(MalformedInput, match=r"of another distribution: 'demo-1\.0\.dist-info'"):
        read_wheel(renamed)


@pytest.mark.parametrize("name", ["demo.whl", "demo-1.0.whl", "de mo-1.0-py3-none-any.whl", "-1.0-py3-none-any.whl"])
def test_a_name_that_is_none_of_a_wheel(tmp_path, name):
    with pytest.raises(MalformedInput, match=r"its name is not NAME-VERSION-PYTHON-ABI-PLATFORM\.whl"):
        read_wheel(make_wheel(tmp_path).rename(tmp_path / name))


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_what_is_no_archive_is_broken(tmp_path, content):
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(MalformedInput, match=r"a broken archive .*fetch it again"):
        read_wheel(path)


def test_a_cut_wheel_is_broken(tmp_path):
    path = make_wheel(tmp_path)
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(MalformedInput, match="a broken archive"):
        read_wheel(path)


def test_a_wheel_that_expands_without_measure_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "_FREE_BYTES", 1000)
    path = make_wheel(tmp_path, files={"demo/zeros": bytes(10_000_000)})
    with pytest.raises(MalformedInput, match="would unpack to 10,000,"):
        read_wheel(path)


def test_too_many_members_and_too_large_ones(tmp_path, monkeypatch):
    path = make_wheel(tmp_path)
    monkeypatch.setattr(wheels, "_MAX_MEMBERS", 2)
    with pytest.raises(MalformedInput, match="more than 2 members"):
        read_wheel(path)
    monkeypatch.undo()
    monkeypatch.setattr(wheels, "_MAX_MEMBER_BYTES", 2)
    with pytest.raises(MalformedInput, match="is larger than 2 bytes"):
        read_wheel(path)
    monkeypatch.undo()
    monkeypatch.setattr(wheels, "MAX_RECORD_BYTES", 2)
    with pytest.raises(MalformedInput, match="RECORD' has more than 2 bytes"):
        read_wheel(path)


def test_a_wheel_that_changes_meanwhile_is_not_believed(tmp_path):
    path = make_wheel(tmp_path)

    def touched(_):
        os.utime(path, (1, 1))

    with pytest.raises(SaksiError, match="changed while it was read"):
        read_wheel(path, told=touched)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "demo-1.0-py3-none-any.whl")
    with pytest.raises(UsageError, match="not a regular file"):
        read_wheel(tmp_path / "demo-1.0-py3-none-any.whl")
    with pytest.raises(SaksiError, match="No such file") as refused:
        read_wheel(tmp_path / "gone-1.0-py3-none-any.whl")
    assert refused.value.exit_code == 4


def test_folders_of_wheels(tmp_path):
    later, earlier = make_wheel(tmp_path, "b"), make_wheel(tmp_path, "a")
    (tmp_path / "notes.txt").write_text("x")
    assert wheel_files(tmp_path) == (earlier, later)
    with pytest.raises(UsageError, match="No such file"):
        wheel_files(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no wheel in it"):
        wheel_files(tmp_path / "empty")


def test_a_lock_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        read_lock_file(tmp_path / "lock.txt")


@pytest.mark.parametrize("read", [read_lock_file, read_manifest_file])
def test_a_pipe_or_a_device_in_the_place_of_a_given_file_is_refused_and_not_waited_for(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UsageError, match="not a regular file"):
            read(path)
    (tmp_path / "there").write_text("x")
    assert read(tmp_path / "there") == b"x"
