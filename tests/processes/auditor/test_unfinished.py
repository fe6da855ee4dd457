"""An audit that did not come to its end leaves what the same one takes up, and one that did leaves nothing."""

from __future__ import annotations

import contextlib
import os
import secrets

import pytest

from saksi.judgement.replay.drawing import Draw
from saksi.processes.auditor.unfinished import MONTH_S, unfinished

NOW_S = 1e9


def draw():
    return Draw(secret=secrets.token_hex(4), log_root="ab", beacon=None)


def begun(folder, *, asked=b"this", now_s=NOW_S):
    return unfinished(folder, ("0123456789abcdef", 0), asked, draw, now_s=now_s)


def cut_short(folder, *, keeps=True, **options):
    """The draw of an audit that is ended, once it has kept something."""
    with contextlib.suppress(KeyboardInterrupt), begun(folder, **options) as audit:
        found = audit.draw
        if keeps:
            (place,) = [each for each in folder.glob("*/results") if not os.listdir(each)]
            (place / "a").mkdir()
            (place / "a" / "kept.json").write_text("{}")
        raise KeyboardInterrupt
    return found


def test_who_asks_for_the_same_goes_on_and_who_asks_for_another_begins(tmp_path):
    first = cut_short(tmp_path)
    with begun(tmp_path, asked=b"that") as other:
        assert other.draw != first
        assert other.count == 0
    with begun(tmp_path) as again:
        assert again.draw == first
        assert again.count == 1
    assert os.listdir(tmp_path) == []
    with begun(tmp_path) as anew:
        assert anew.draw != first


def test_one_that_is_ended_before_anything_was_kept_gives_nobody_another_draw(tmp_path):
    first = cut_short(tmp_path, keeps=False)
    with begun(tmp_path) as again:
        assert (again.draw, again.count) == (first, 0)
    assert os.listdir(tmp_path) == []


def test_the_same_audit_a_second_time_at_once_is_made_without(tmp_path):
    with begun(tmp_path) as one, begun(tmp_path) as other:
        assert one.results is not None
        assert other.results is None
        assert other.draw != one.draw


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"draw": null, "secret": "zz"}', None])
def test_what_is_not_whole_begins_anew(tmp_path, content):
    first = cut_short(tmp_path)
    (file,) = tmp_path.glob("*/audit.json")
    if content is None:
        file.chmod(0o666)
    else:
        file.write_bytes(content)
    with begun(tmp_path) as anew:
        assert anew.draw != first
        assert anew.count == 0


def test_what_nobody_took_up_for_a_month_goes_with_the_next_audit(tmp_path):
    cut_short(tmp_path, asked=b"old")
    cut_short(tmp_path, asked=b"new")
    old, new = sorted(tmp_path.iterdir(), key=lambda each: each.stat().st_mtime_ns)
    os.utime(old, (NOW_S, NOW_S))
    os.utime(new, (NOW_S + 9, NOW_S + 9))
    with begun(tmp_path, now_s=NOW_S + MONTH_S + 1):
        assert not old.exists()
        assert new.exists()


def test_one_that_goes_on_is_never_old(tmp_path):
    with begun(tmp_path, asked=b"old"):
        (old,) = tmp_path.iterdir()
        os.utime(old, (NOW_S, NOW_S))
        with begun(tmp_path, asked=b"new", now_s=NOW_S + MONTH_S + 1):
            assert old.exists()


def test_a_home_that_nothing_can_be_kept_in_costs_that_alone(tmp_path):
    (tmp_path / "audits").write_text("in the way")
    with begun(tmp_path / "audits") as audit:
        assert audit.results is None
        assert audit.draw.log_root == "ab"
        assert audit.count == 0
