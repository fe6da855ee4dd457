import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doors.cli.cli_home import HOSTILE
from saksi.doors.cli.screen import MAX_WIDTH, MIN_WIDTH, PIPE_WIDTH, Screen, duration, plain, screen_of
from saksi.doors.cli.sparkline import ASCII_RAMP, BLOCKS, column_of, sparkline

SCREEN = Screen(width=80, height=None, unicode=True, colour=False, zone=UTC)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@given(st.text())
def test_plain_text_holds_nothing_that_steers_a_terminal(text):
    assert plain(text).isprintable()
    assert plain(text, unicode=False).isascii()
    assert plain(text, unicode=False).isprintable()


def test_printable_text_is_left_as_it_is():
    assert plain("größer 模型 [bold]x[/bold]") == "größer 模型 [bold]x[/bold]"


def test_escapes_are_shown_as_escapes():
    assert plain("\x1b[2J\x9b\u202e\n\udc80") == r"\x1b[2J\x9b\u202e\n\udc80"


def test_long_text_loses_its_middle():
    shown = SCREEN.plain("a" * 100 + "b" * 100, 21)
    assert shown == "a" * 10 + "…" + "b" * 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(8.5e-5, "85 us"), (0.85, "850 ms"), (12.44, "12.4 s"), (200, "3 min 20 s"), (18_120, "5 h 2 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_moments_are_shown_in_the_zone_of_the_screen():
    assert SCREEN.moment(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02 03:04"
    assert SCREEN.moment(None) == "-"
    assert SCREEN.moment(datetime.max.replace(tzinfo=UTC) - timedelta(days=1)) == "9999-12-30 23:59"


@pytest.mark.parametrize(
    ("columns", "width"),
    [("60", 60), ("1", MIN_WIDTH), ("999999", MAX_WIDTH), ("9" * 40, PIPE_WIDTH), ("x", PIPE_WIDTH), ("0", PIPE_WIDTH)],
)
def test_width_is_within_bounds(columns, width):
    assert screen_of(io.StringIO(), {"COLUMNS": columns}).width == width


def test_colour_only_on_a_terminal_that_has_it():
    assert screen_of(Terminal(), {"TERM": "xterm"}).colour
    assert not screen_of(Terminal(), {"TERM": "dumb"}).colour
    assert not screen_of(Terminal(), {}).colour
    assert not screen_of(Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}).colour
    assert not screen_of(io.StringIO(), {"TERM": "xterm"}).colour


@pytest.mark.parametrize(("encoding", "unicode"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_unicode_only_where_the_encoding_has_our_characters(encoding, unicode):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    assert screen_of(stream, {}).unicode is unicode


def test_sparkline_goes_from_the_lowest_to_the_highest():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], width=8, unicode=True) == BLOCKS
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], width=8, unicode=False) == ASCII_RAMP


def test_sparkline_of_a_constant_is_low_and_of_nothing_is_empty():
    assert sparkline([5.0] * 3, width=8, unicode=True) == "▁▁▁"
    assert sparkline([float("nan")], width=8, unicode=True) == ""
    assert sparkline([1.0], width=0, unicode=True) == ""


@given(st.lists(st.floats()), st.integers(-1, 90))
def test_sparkline_never_exceeds_its_width(values, width):
    line = sparkline(values, width=width, unicode=True)
    assert len(line) <= max(width, 0)
    assert set(line) <= set(BLOCKS)


@given(st.integers(1, 200), st.integers(1, 90), st.data())
def test_a_value_is_drawn_in_the_column_that_is_told(count, width, data):
    place = data.draw(st.integers(0, count - 1))
    columns, column = min(width, count), column_of(place, count, width=width)
    assert column * count // columns <= place < (column + 1) * count // columns


def test_hostile_text_for_other_tests_is_hostile():
    assert not HOSTILE.isprintable()
