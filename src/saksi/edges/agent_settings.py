"""The settings of the agent as a service: `agent.toml` in its own home, and nowhere else.

    quota_bytes = 200_000_000_000    # of everything in the home; without it, none
    retention_days = 90              # whole ended runs older than this are removed; without it, none
    max_attempts = 64                # at once
    attempts_per_account = 16        # at once
    anchors = ["/mnt/anchors/"]      # where signed heads go at once, as with `saksi run --anchor`

    [notify]                         # who hears of findings at once, as in the settings of anybody's home
    webhook = "https://hooks.example.org/saksi"

Strict: an unknown key is refused, since somebody wanted it to have an effect; so is a file that others may write.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.edges.notify_settings import NotifySettings, check_notify
from saksi.edges.own_file import read_own_file
from saksi.words.errors import UsageError

__all__ = ["MAX_SETTINGS_BYTES", "SETTINGS", "AgentSettings", "parse_agent_settings", "read_agent_settings"]

MAX_SETTINGS_BYTES: Final = 65_536
SETTINGS: Final = "agent.toml"
MIN_QUOTA: Final = 16 << 20
"""Less than this would thin the first run."""


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `agent.toml` says; `None` where there is no limit."""

    quota_bytes: Annotated[int, Meta(ge=MIN_QUOTA, le=2**62)] | None = None
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    max_attempts: Annotated[int, Meta(ge=1, le=4_096)] = 64
    attempts_per_account: Annotated[int, Meta(ge=1, le=4_096)] = 16
    anchors: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=4_096)], ...], Meta(max_length=16)] = ()
    notify: NotifySettings = NotifySettings()


def parse_agent_settings(content: bytes, *, where: str) -> AgentSettings:
    """The settings in the TOML text `content`. Raises `UsageError` of one line."""
    if len(content) > MAX_SETTINGS_BYTES:
        raise UsageError(f"{where}: longer than {MAX_SETTINGS_BYTES} bytes")
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        said = str(error).splitlines()[0] if str(error) else "nested too deep"
        raise UsageError(f"{where}: not TOML: {said}") from None
    try:
        settings = msgspec.convert(found, AgentSettings, strict=True)
    except (msgspec.ValidationError, RecursionError) as error:
        known = ", ".join(AgentSettings.__struct_fields__)
        raise UsageError(f"{where}: {error}", remedy=f"known keys: {known}") from None
    check_notify(settings.notify, where=where)
    return settings


def read_agent_settings(home: Path) -> AgentSettings:
    """The settings of the service whose home this is; the defaults where there is no file. Raises `UsageError`."""
    path = home / SETTINGS
    try:
        content = read_own_file(path, MAX_SETTINGS_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    return AgentSettings() if content is None else parse_agent_settings(content, where=str(path))
