import os
import threading
from datetime import UTC, date, datetime

import pytest

from saksi.edges.home import Home
from saksi.edges.suppressions import JOURNAL, add_suppression, end_suppression, read_suppressions
from saksi.judgement.suppressions import Made
from saksi.words.errors import StoreError, UsageError

NOW = datetime(2026, 5, 4, tzinfo=UTC)


def act(identity, **changes):
    fields = {
        "id": identity, "at": NOW, "account": 7, "code": "live.hook_added", "subject": "*", "run": None,
        "project": None, "up_to": "warning", "reason": "ours", "owner": "training-team", "until": date(2026, 6, 1),
    }  # fmt: skip
    return Made(**fields | changes)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def test_without_a_journal_nothing_is_suppressed_and_none_is_made(home):
    assert read_suppressions(home) == ()
    assert not home.root.exists()


def test_a_suppression_is_kept_ended_and_stays_to_be_read(home):
    made = add_suppression(home, act)
    before = (home.root / JOURNAL).read_bytes()
    assert [each.made for each in read_suppressions(home)] == [made]
    assert end_suppression(home, made.id[:3], now=NOW, account=9) == made
    (found,) = read_suppressions(home)
    assert (found.made, found.ended.account) == (made, 9)
    assert (home.root / JOURNAL).read_bytes().startswith(before)
    assert (home.root / JOURNAL).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "zz", "0"])
def test_only_one_that_is_there_can_be_ended(home, text):
    add_suppression(home, act, draw=lambda _: bytes.fromhex("00000001"))
    add_suppression(home, act, draw=lambda _: bytes.fromhex("00000002"))
    with pytest.raises(UsageError, match="can be ended"):
        end_suppression(home, text, now=NOW, account=0)
    end_suppression(home, "00000001", now=NOW, account=0)
    with pytest.raises(UsageError, match="can be ended"):
        end_suppression(home, "00000001", now=NOW, account=0)


def test_an_id_is_never_given_twice(home):
    draws = iter([b"\0\0\0\1", b"\0\0\0\1", b"\0\0\0\2"])
    ids = [add_suppression(home, act, draw=lambda _: next(draws)).id for _ in range(2)]
    assert ids == ["00000001", "00000002"]


def test_a_line_that_a_crash_left_unfinished_gives_way(home):
    first = add_suppression(home, act)
    with (home.root / JOURNAL).open("ab") as file:
        file.write(b'{"act":"made","id":"ffff')
    assert [each.made for each in read_suppressions(home)] == [first]
    second = add_suppression(home, act)
    assert [each.made for each in read_suppressions(home)] == [first, second]


def test_several_writers_lose_nothing(home):
    threads = [threading.Thread(target=add_suppression, args=(home, act)) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(read_suppressions(home)) == 8


def test_what_is_refused_leaves_no_line(home):
    add_suppression(home, act)
    before = (home.root / JOURNAL).read_bytes()

    def refused(_):
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        add_suppression(home, refused)
    assert (home.root / JOURNAL).read_bytes() == before


def test_a_journal_that_others_may_write_silences_nothing(home):
    add_suppression(home, act)
    (home.root / JOURNAL).chmod(0o620)
    for attempt in (lambda: read_suppressions(home), lambda: add_suppression(home, act)):
        with pytest.raises(UsageError, match="chmod go-w"):
            attempt()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_journal_of_another_account_silences_nothing(home, monkeypatch):
    add_suppression(home, act)
    os.chown(home.root / JOURNAL, 12345, -1)
    with pytest.raises(UsageError, match="not a file of this account"):
        read_suppressions(home)


def test_neither_a_link_nor_a_pipe_is_followed(home, tmp_path):
    add_suppression(home, act)
    elsewhere = tmp_path / "elsewhere"
    (home.root / JOURNAL).rename(elsewhere)
    (home.root / JOURNAL).symlink_to(elsewhere)
    with pytest.raises(StoreError, match="symbolic link"):
        read_suppressions(home)
    with pytest.raises(StoreError, match="symbolic link"):
        add_suppression(home, act)
    (home.root / JOURNAL).unlink()
    os.mkfifo(home.root / JOURNAL)
    with pytest.raises(UsageError, match="not a file"):
        read_suppressions(home)
