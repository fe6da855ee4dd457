"""`saksi doctor`: which launches it makes, with what, and how it ends."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import pytest

from judgement.doctor import twins
from saksi.doors.cli import doctor, doctor_launches
from saksi.doors.cli.doctor_launches import DoctorAsked, examined
from saksi.doors.cli.schemas import schema_text
from saksi.doors.main import main
from saksi.judgement.replay.resume import Resume
from saksi.words.errors import SaksiError


class Sittings:
    """Stands in the place of confined launches: hands out `launches` in order, and keeps what was asked for."""

    def __init__(self, *launches, code=137):
        self.launches = list(launches)
        self.code = code
        self.asked = []
        self.sittings = 0

    @contextmanager
    def sit(self, place, scratch):
        self.sittings += 1
        self.place = place
        yield self

    def launch(self, argv, ends, limit_s, *, variables=None):
        self.asked.append((argv, ends, variables))
        return SimpleNamespace(reading=True, code=self.code, launch=self.launches.pop(0), ending="it ended")


@pytest.fixture
def sittings(monkeypatch, tmp_path):
    monkeypatch.setenv("SAKSI_HOME", str(tmp_path / "home"))

    def use(*launches, **more):
        found = Sittings(*launches, **more)
        monkeypatch.setattr(doctor_launches, "sit", found.sit)
        monkeypatch.setattr(doctor_launches, "_read", lambda launched: launched.launch)
        return found

    return use


def asked(tmp_path, **changes):
    fields = {
        "command": ("python", "train.py"),
        "folder": tmp_path,
        "steps": 4,
        "resume": Resume(words=("--resume", "{ckpt}")),
    }
    return DoctorAsked(**fields | {"limit_s": 60, "threads": None, "with_threads": True} | changes)


def test_four_launches_in_three_places(sittings, tmp_path):
    threaded = twins.launched("threads", steps=4, notes=twins.began(threads=2))
    made = sittings(twins.launched(), twins.launched("killed", steps=4), twins.resumed(), threaded)
    found = examined(asked(tmp_path))
    assert (found.verdict, found.threads.same, made.sittings) == ("continues", True, 3)
    command = ("python", "train.py")
    threads = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    assert made.asked == [
        (command, "8:5:100", None),
        (command, "4:0:4", None),
        ((*command, "--resume", "/ckpt.pt"), "4:0:4", None),
        (command, "4:0:4", threads),
    ]
    assert made.place.hidden == (tmp_path / "home",)


def test_the_kill_comes_two_steps_behind_a_late_save(sittings, tmp_path):
    made = sittings(
        twins.launched(steps=14, saves=(7,)),
        twins.launched("killed", steps=9, saves=(7,)),
        twins.resumed(begins=8),
    )
    found = examined(asked(tmp_path, with_threads=False))
    assert [ends for _, ends, _ in made.asked] == ["8:5:100", "9:0:9", "4:0:4"]
    assert (found.verdict, found.steps.saved_after) == ("continues", 7)


def test_nothing_is_launched_with_other_threads_where_something_is_missing(sittings, tmp_path):
    again = twins.resumed(initial=twins.state_after(0), holds=lambda step: twins.state_after(step - 1))
    made = sittings(twins.launched(), twins.launched("killed", steps=4), again)
    assert examined(asked(tmp_path)).verdict == "missing"
    assert len(made.asked) == 3


@pytest.mark.parametrize(
    ("launches", "words"),
    [
        ([twins.launched(saves=()), twins.launched("killed", saves=())], "no model checkpoint was saved within 8"),
        ([twins.launched(saves=(7,)), twins.launched("killed")], "nothing follows it"),
        ([twins.launched(), twins.launched("killed", steps=4, saves=())], "saved no model checkpoint before"),
        ([twins.launched(steps=0)], "no training step was made"),
    ],
)
def test_what_cannot_be_judged_has_its_reason(sittings, tmp_path, launches, words):
    made = sittings(*launches)
    found = examined(asked(tmp_path))
    assert (found.verdict, len(made.asked)) == ("unknown", len(launches))
    assert words in found.reasons[0]


def test_a_command_that_does_not_start_is_an_error(sittings, tmp_path):
    sittings(twins.launched(), code=127)
    with pytest.raises(SaksiError, match="not started under witness"):
        examined(asked(tmp_path))


def test_folders_that_words_name_may_be_written_to(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "out").mkdir()
    words = (f"--out={tmp_path}/out/new/x.pt", f"{tmp_path}/project/in", "relative", "/", str(tmp_path))
    assert list(doctor_launches._written(words, tmp_path / "project")) == [(tmp_path / "out").resolve()]


@pytest.mark.parametrize(
    ("again", "code"), [({}, 0), ({"loads": False}, 3), ({"initial": twins.state_after(0), "holds": None}, 1)]
)
def test_exit_codes_and_the_document(monkeypatch, capsys, tmp_path, again, code):
    if "holds" in again:
        again = again | {"holds": lambda step: twins.state_after(step - 1)}
    heard = []
    monkeypatch.setattr(
        doctor, "examined", lambda asked: heard.append(asked) or twins.examined(again=twins.resumed(**again))
    )
    monkeypatch.chdir(tmp_path)
    Path("saksi.toml").write_text('[replay]\nresume = "--go {ckpt}"\n')
    assert main(["doctor", "--json", "--", "python", "train.py", "--json"]) == code
    said = json.loads(capsys.readouterr().out)
    jsonschema.validate(said, json.loads(schema_text("saksi.doctor/v1")))
    assert (heard[0].command, heard[0].resume) == (
        ("python", "train.py", "--json"),
        Resume(words=("--go", "{ckpt}")),
    )
    assert main(["doctor", "--resume-with", "{ckpt}", "--", "python", "train.py"]) == code
    assert said["sentence"][:20] in capsys.readouterr().out
    assert heard[1].resume == Resume(words=("{ckpt}",))


@pytest.mark.parametrize("words", [["--steps", "0"], ["--steps", "100000"], ["--resume-with", "'"]])
def test_what_cannot_be_asked_for(words, capsys):
    assert main(["doctor", *words, "--", "python", "train.py"]) == 2
    assert capsys.readouterr().err.startswith("saksi: ")
