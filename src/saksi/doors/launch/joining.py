"""Recognising that a launch is a further attempt: by its key, where the command line does not say it with `--resume`.

What is recognised is said in the launcher's line and in the seal. What cannot be continued, above all a run whose
former attempt still runs, is said too, and the launch becomes a run of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

import msgspec

from saksi.doors.launch.arguments import LaunchArguments
from saksi.edges.home import Home, resolve_home
from saksi.edges.keys import open_keyring
from saksi.edges.launch_keys import keep_run_of_key, run_of_key
from saksi.edges.run_folders import all_runs
from saksi.judgement.launch_key import LaunchKey, in_words, is_further, launch_key
from saksi.judgement.redaction import hmac_of
from saksi.words.errors import SaksiError

__all__ = ["alone", "join", "joined_in_words", "remember"]


def join(arguments: LaunchArguments, environment: Mapping[str, str]) -> LaunchArguments:
    """The arguments with the launch's key, and with the run that it continues if the key led to one.

    Raises `UsageError` for a key that is none, and what looking up raises: `SaksiError`, `OSError`.
    """
    key = launch_key(environment, host=socket.gethostname())
    if key is None:
        return arguments
    known = msgspec.structs.replace(arguments, key=key)
    if arguments.resume is not None or not is_further(key):
        return known
    home = resolve_home(environment)
    run = run_of_key(home, key, _command(arguments, home), lambda: all_runs(home, environment, uid=os.getuid()))
    if run is None:
        return known
    return msgspec.structs.replace(known, resume=run, key=msgspec.structs.replace(key, joined=True))


def alone(arguments: LaunchArguments) -> LaunchArguments:
    """The same launch as a run of its own."""
    key = arguments.key
    return msgspec.structs.replace(
        arguments, resume=None, key=None if key is None else msgspec.structs.replace(key, joined=False)
    )


def remember(arguments: LaunchArguments, environment: Mapping[str, str], run: str) -> None:
    """The key of this launch leads to `run` from now on. Never raises: without it a restart is a run of its own."""
    if arguments.key is not None:
        with contextlib.suppress(SaksiError, OSError):
            home = resolve_home(environment)
            keep_run_of_key(home, arguments.key, _command(arguments, home), run)


def joined_in_words(key: LaunchKey | None) -> str:
    """What the launcher's line adds to the attempt's number."""
    return f" ({in_words(key)})" if key is not None and key.joined else ""


def _command(arguments: LaunchArguments, home: Home) -> str:
    """The command as the seal names it without giving it away."""
    return hmac_of(open_keyring(home).redaction_key, "command", *arguments.command)
