"""Who hears of findings at once: the table `[notify]` of `settings.toml` in the home, and nowhere else.

    [notify]
    command = ["/usr/local/bin/page", "training"]    # gets one JSON document on its standard input
    webhook = "https://hooks.example.org/saksi"      # is posted the same document
    severity = "warning"                             # from which severity on
    seconds = 10                                     # how long either may take for one finding

Strict: an unknown key is refused, since somebody wanted it to have an effect; so is a file that others may write. A
project's files are never asked: they may be what was attacked, and would run a command outside the job.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from saksi.edges.home import Home
from saksi.edges.own_file import read_own_file
from saksi.words.errors import UsageError
from saksi.words.findings import Severity

__all__ = [
    "MAX_SETTINGS_BYTES",
    "SETTINGS",
    "NotifySettings",
    "check_notify",
    "parse_notify_settings",
    "read_notify_settings",
]

SETTINGS: Final = "settings.toml"
MAX_SETTINGS_BYTES: Final = 65_536
MAX_WORDS: Final = 64
MAX_WORD: Final = 4_096


class NotifySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `[notify]` says. Off where it names neither a command nor a webhook."""

    command: Annotated[tuple[Annotated[str, Meta(max_length=MAX_WORD)], ...], Meta(max_length=MAX_WORDS)] = ()
    webhook: Annotated[str, Meta(max_length=MAX_WORD)] | None = None
    severity: Severity = "warning"
    seconds: Annotated[int, Meta(ge=1, le=60)] = 10


class _Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    notify: NotifySettings = NotifySettings()


def parse_notify_settings(content: bytes, *, where: str) -> NotifySettings:
    """The table `[notify]` of the TOML text `content`. Raises `UsageError` of one line."""
    if len(content) > MAX_SETTINGS_BYTES:
        raise UsageError(
            f"{where}: longer than {MAX_SETTINGS_BYTES} bytes", remedy="keep to what docs/findings.md lists"
        )
    try:
        found = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a plain ValueError
        said = str(error).splitlines()[0] if str(error) else "nested too deep"
        raise UsageError(f"{where}: not TOML: {said}", remedy="see docs/findings.md for an example") from None
    try:
        settings = msgspec.convert(found, _Settings, strict=True).notify
    except (msgspec.ValidationError, RecursionError) as error:
        known = ", ".join(NotifySettings.__struct_fields__)
        raise UsageError(f"{where}: {error}", remedy=f"known keys of [notify]: {known}") from None
    return check_notify(settings, where=where)


def check_notify(settings: NotifySettings, *, where: str) -> NotifySettings:
    """The same settings. Raises `UsageError` where their command is none that can be started."""
    if settings.command and not Path(settings.command[0]).is_absolute():
        # PATH is the job's, and says which program another word means.
        raise UsageError(f"{where}: command begins with no absolute path", remedy="write the program's whole path")
    if any("\0" in word for word in settings.command):
        raise UsageError(f"{where}: command has a word with a zero byte", remedy="take it out")
    return settings


def read_notify_settings(home: Home) -> NotifySettings:
    """The settings of this home; nobody hears of anything where there is no file. Raises `UsageError`."""
    path = home.root / SETTINGS
    try:
        content = read_own_file(path, MAX_SETTINGS_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", remedy="make it a file of your own") from None
    return NotifySettings() if content is None else parse_notify_settings(content, where=str(path))
