"""Who hears of findings of a launch: `--notify`, and `[notify]` of the home's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from saksi.doors.launch.arguments import LaunchArguments
from saksi.edges.home import resolve_home
from saksi.edges.hooks import CommandHook, Hook, parse_command
from saksi.edges.notify_settings import SETTINGS, NotifySettings, read_notify_settings
from saksi.words.errors import SaksiError, UsageError
from saksi.words.findings import Severity

__all__ = ["NOBODY", "Notified", "hooks_of", "notified_by"]

MAX_ASKED: Final = 16
"""Each has a thread."""
_URLS: Final = ("http:", "https:")


class Notified(NamedTuple):
    """The hooks, and the severity from which on they hear of a finding."""

    hooks: tuple[Hook, ...]
    severity: Severity


NOBODY: Final = Notified((), "warning")


def notified_by(arguments: LaunchArguments, environment: Mapping[str, str], *, say: Callable[[str], None]) -> Notified:
    """The hooks of this launch. Raises `UsageError` for a `--notify` that is none.

    Settings of the home that cannot be read are said and leave nobody notified: they never cost a run its witness.
    """
    if len(arguments.notify) > MAX_ASKED:
        raise UsageError(f"--notify: given more than {MAX_ASKED} times", remedy="let one command tell the others")
    settings, of_home = _of_home(environment, say)
    asked = tuple(_hook(each, settings.seconds) for each in arguments.notify)
    return Notified((*asked, *of_home), settings.severity)


def _of_home(environment: Mapping[str, str], say: Callable[[str], None]) -> tuple[NotifySettings, tuple[Hook, ...]]:
    try:
        home = resolve_home(environment)
    except SaksiError:  # without a home there is no witness either, and that is said
        return NotifySettings(), ()
    try:
        settings = read_notify_settings(home)
        hooks = hooks_of(settings, where=SETTINGS)
    except SaksiError as error:
        said = str(error)
    except Exception as error:  # noqa: BLE001 - a defect of the witness never stops training
        said = f"internal error: {type(error).__name__}: {error}"
    else:
        return settings, hooks
    say(f"nobody is notified by the home's settings: {said}")
    return NotifySettings(), ()


def hooks_of(settings: NotifySettings, *, where: str) -> tuple[Hook, ...]:
    """The hooks that `[notify]` of the file `where` names. Raises `UsageError`."""
    hooks: list[Hook] = []
    if settings.command:
        hooks.append(CommandHook(settings.command, seconds=settings.seconds))
    if settings.webhook is not None:
        hooks.append(_webhook(settings.webhook, f"{where}: webhook", settings.seconds))
    return tuple(hooks)


def _hook(text: str, seconds: float) -> Hook:
    if text.lower().startswith(_URLS):
        return _webhook(text, "--notify", seconds)
    return parse_command(text, seconds=seconds)


def _webhook(text: str, what: str, seconds: float) -> Hook:
    try:
        from saksi.edges.webhook import parse_webhook  # noqa: PLC0415 - ssl takes as long to load as all of `run`
    except ImportError as error:  # a Python that was built without ssl
        raise UsageError(f"{what}: this Python posts nothing: {error}", remedy="name a command instead") from None
    return parse_webhook(text, what=what, seconds=seconds)
