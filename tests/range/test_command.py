"""`saksi range` on the command line: what it refuses in one line, what it shows, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from range.reports import ACCUSED, case_line, judged, report_of, variant_line
from saksi.doors.cli.app import call
from saksi.doors.cli.range import exit_code_of
from saksi.doors.cli.range_screen import draw_range
from saksi.doors.cli.screen import Screen
from saksi.range.session import chosen
from saksi.words.errors import UsageError

SCREEN = Screen(width=120, height=None, unicode=True, colour=False, zone=None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "Z99"], "--only 'Z99' is no case"),
        (["--group", "Z"], "--group 'Z' is no group (one of A, B"),
        (["--only", "G08", "--group", "A"], "no case is both in --only and in --group"),
        (["--seeds", "0"], "--seeds"),
        (["--limit", "inf"], "--limit"),
        (["--limit", "nan"], "--limit"),
        (["--python", "/nowhere/python"], "/nowhere/python"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(words, said, capsys):
    assert call(["range", *words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_a_row_an_id_and_a_group_choose():
    assert {each.row for each in chosen(["C02"], [])} == {"C02"}
    assert [each.id for each in chosen(["C02-applied-rate"], [])] == ["C02-applied-rate"]
    assert {each.group for each in chosen([], ["H"])} == {"H"}
    assert all(each.id.startswith("honest-") for each in chosen([], ["honest"]))
    assert len(chosen([], [])) > len(chosen([], ["honest"])) > 25
    with pytest.raises(UsageError):
        chosen(["c02"], [])


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (report_of(), 0),
        (report_of((case_line((judged(),)),), (variant_line(),)), 0),
        (report_of((), (variant_line(ACCUSED),)), 1),
        (report_of((case_line(error="it never acted"),), (variant_line(ACCUSED),)), 4),
        (report_of((), (variant_line(error="no launch"),)), 4),
    ],
)
def test_how_it_ends(report, code):
    assert exit_code_of(report) == code


def test_every_outcome_is_in_words():
    cases = (
        case_line((judged(found=True, object_named=True),)),
        case_line((judged(found=True),)),
        case_line((judged(told=True),), reason="it is for replay"),
        case_line(error="the payload never \x1b acted"),
    )
    shown = draw_range(report_of(cases, (variant_line(ACCUSED), variant_line(error="no launch"))), SCREEN)
    for words in (
        "update.differs at 9\n",
        "update.differs at 9 (another object)",
        "told as info",
        r"failed: the payload never \x1b acted",
        "Missed by saksi:\n  X01-toy: it is for replay",
        "state.changed_between_steps",
        "failed: no launch",
        "2 could not be played; they are in no total.",
        "Drawn again with --seed 5 --seeds 1.",
    ):
        assert words in shown, words


def of_folder(folder):
    """The processes whose command names something in `folder`."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = each.read_bytes()
        except OSError:  # it is gone
            continue
        if os.fsencode(folder) in words:
            found.append(words)
    return found


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whatever_ends_it_nothing_stays(tmp_path, ends):
    environment = os.environ | {"TMPDIR": str(tmp_path), "SAKSI_HOME": str(tmp_path / "home")}
    words = (
        sys.executable,
        "-m",
        "saksi.doors.main",
        "range",
        "--only",
        "C04-decay-zeroed",
        "--python",
        sys.executable,
    )
    # A shell's background commands ignore SIGINT, and what the test was started from may be one.
    restored = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    with subprocess.Popen([sys.executable, "-c", restored, *words], env=environment, stderr=subprocess.PIPE) as played:
        until = time.monotonic() + 90
        while not list(tmp_path.glob("saksi-range-*/played/*/home/runs/*")):
            assert played.poll() is None, played.stderr.read()
            assert time.monotonic() < until
            time.sleep(0.1)
        played.send_signal(ends)
        played.communicate(timeout=60)
    assert played.returncode in {128 + ends, 130}
    assert list(tmp_path.glob("saksi-range-*")) == []
    assert of_folder(tmp_path / "saksi-range-") == []
