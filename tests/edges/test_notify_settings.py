from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.edges.home import Home
from saksi.edges.notify_settings import NotifySettings, parse_notify_settings, read_notify_settings
from saksi.words.errors import UsageError

WHOLE = b"""
[notify]
command = ["/usr/local/bin/page", "training"]
webhook = "https://hooks.example.org/saksi"
severity = "critical"
seconds = 5
"""


def test_what_the_page_shows_is_read():
    assert parse_notify_settings(WHOLE, where="s") == NotifySettings(
        command=("/usr/local/bin/page", "training"),
        webhook="https://hooks.example.org/saksi",
        severity="critical",
        seconds=5,
    )


@pytest.mark.parametrize("text", ["", "[notify]"])
def test_nobody_is_notified_unless_somebody_is_named(text):
    settings = parse_notify_settings(text.encode(), where="s")
    assert (settings.command, settings.webhook, settings.severity) == ((), None, "warning")


@pytest.mark.parametrize(
    "line",
    ["commmand = []", "command = 'page'", "command = ['page']", "command = ['./page']", "command = ['']",
     'command = ["/a", "b\\u0000c"]', "severity = 'loud'", "seconds = 0", "seconds = 61", "seconds = true",
     "webhook = 5", "webhook = 'x", "[other]",
     "command = [" + "'/a'," * 65 + "]", "a = " + "[" * 5000, "a = " + "9" * 5000],
)  # fmt: skip
def test_everything_else_is_one_line_that_names_the_file(line):
    with pytest.raises(UsageError, match=r"^settings\.toml: ") as refused:
        parse_notify_settings(f"[notify]\n{line}\n".encode(), where="settings.toml")
    assert "\n" not in str(refused.value)
    assert refused.value.remedy


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_usage_error(content):
    try:
        found = parse_notify_settings(content, where="s")
    except UsageError:
        return
    assert isinstance(found, NotifySettings)


def test_a_file_that_others_may_write_is_refused_and_an_absent_one_notifies_nobody(tmp_path):
    home = Home(tmp_path)
    assert read_notify_settings(home) == NotifySettings()
    (tmp_path / "settings.toml").write_bytes(WHOLE)
    (tmp_path / "settings.toml").chmod(0o622)
    with pytest.raises(UsageError, match="chmod go-w"):
        read_notify_settings(home)
    (tmp_path / "settings.toml").chmod(0o600)
    assert read_notify_settings(home).seconds == 5
    (tmp_path / "settings.toml").rename(tmp_path / "elsewhere")
    (tmp_path / "settings.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"settings\.toml"):
        read_notify_settings(home)
