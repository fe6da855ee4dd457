from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saksi.edges.agent_settings import AgentSettings, parse_agent_settings, read_agent_settings
from saksi.edges.notify_settings import NotifySettings
from saksi.words.errors import UsageError

WHOLE = b"""
quota_bytes = 200_000_000_000
retention_days = 90
max_attempts = 8
attempts_per_account = 2
anchors = ["/mnt/anchors/"]

[notify]
command = ["/usr/local/bin/page", "training"]
severity = "critical"
"""


def test_what_the_page_shows_is_read():
    assert parse_agent_settings(WHOLE, where="agent.toml") == AgentSettings(
        quota_bytes=200_000_000_000,
        retention_days=90,
        max_attempts=8,
        attempts_per_account=2,
        anchors=("/mnt/anchors/",),
        notify=NotifySettings(command=("/usr/local/bin/page", "training"), severity="critical"),
    )


@pytest.mark.parametrize(
    "text",
    ["quota = 5", "quota_bytes = 5", "retention_days = 0", "max_attempts = true", "anchors = 'x'", "anchors = ['']",
     "max_attempts = 1.5", "[anchors]", "x", "quota_bytes = -1", "a = " + "[" * 5000,
     "notify = 'x'", "[notify]\nto = 'x'", "[notify]\ncommand = ['page']", "[notify]\nseconds = 0"],
)  # fmt: skip
def test_everything_else_is_one_line_that_names_the_file(text):
    with pytest.raises(UsageError, match=r"^agent\.toml: .*"):
        parse_agent_settings(text.encode(), where="agent.toml")


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_a_usage_error(content):
    try:
        found = parse_agent_settings(content, where="agent.toml")
    except UsageError:
        return
    assert isinstance(found, AgentSettings)


def test_a_file_that_others_may_write_is_refused_and_an_absent_one_is_the_defaults(tmp_path):
    assert read_agent_settings(tmp_path) == AgentSettings()
    (tmp_path / "agent.toml").write_bytes(WHOLE)
    (tmp_path / "agent.toml").chmod(0o666)
    with pytest.raises(UsageError, match="other accounts"):
        read_agent_settings(tmp_path)
    (tmp_path / "agent.toml").chmod(0o600)
    assert read_agent_settings(tmp_path).retention_days == 90


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(WHOLE)
    (tmp_path / "agent.toml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError):
        read_agent_settings(tmp_path)
