"""`saksi agent`: the witness of a node, as a service under an account of its own."""

from __future__ import annotations

import logging
import os
import sys
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from saksi.doors.cli.help_text import help_text
from saksi.doors.cli.screen import tell, write
from saksi.doors.launch.notified import hooks_of
from saksi.edges.agent_settings import SETTINGS, read_agent_settings
from saksi.edges.agent_socket import DEFAULT_SOCKET, open_doors
from saksi.edges.anchors import parse_anchor
from saksi.edges.clock import SystemClock
from saksi.edges.home import Home
from saksi.edges.host.self_protection import forbid_dumps
from saksi.edges.keys import open_keyring
from saksi.edges.store.durable import told
from saksi.processes.agent.node import NodeService
from saksi.processes.agent.node_plan import NodeHome
from saksi.processes.agent.quota import Quota
from saksi.words.errors import UsageError

__all__ = ["register"]

UNIT: Final = "saksi-agent@.service"
_OTHERS: Final = 0o077


def agent(
    *,
    home: Annotated[
        Path | None, typer.Option("--home", metavar="DIR", help="Where runs, keys and agent.toml lie; of this account.")
    ] = None,
    socket: Annotated[
        Path, typer.Option("--socket", metavar="PATH", help="Where launchers ask; open to every account.")
    ] = DEFAULT_SOCKET,
    print_unit: Annotated[bool, typer.Option("--print-unit", help="Print a unit file for systemd, and end.")] = False,
) -> int:
    """Record the training runs of every account of this node, under an account of its own.

    `saksi run` finds it by itself, or by SAKSI_AGENT. It runs until SIGTERM: then it takes no new jobs, lets those
    that run end, and ends with the last. A second SIGTERM ends it at once.
    """
    if print_unit:
        write(files("saksi.doors").joinpath(UNIT).read_text("utf-8"))
        return 0
    if home is None:
        raise UsageError("no home for the runs", remedy="saksi agent --home /var/lib/saksi")
    place = Home(home.absolute())
    _make_private(place.root)
    settings = read_agent_settings(place.root)
    anchors = tuple(parse_anchor(each) for each in settings.anchors)
    hooks = hooks_of(settings.notify, where=str(place.root / SETTINGS))
    keyring = open_keyring(place)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    if os.geteuid() == 0:
        tell("the agent runs as root and needs no right of root: give it an account of its own")
    forbid_dumps()
    os.umask(_OTHERS)
    doors = open_doors(socket)
    tell(f"listening at {socket}; runs in {place.runs}; key {keyring.signer.vkey}")
    environment = {name: value for name, value in os.environ.items() if name == "SAKSI_SCRATCH"}
    quota = Quota(settings.quota_bytes)
    node = NodeHome(
        home=place,
        environment=environment,
        clock=SystemClock(),
        anchors=anchors,
        hooks=hooks,
        notify_from=settings.notify.severity,
        quota=quota,
    )
    NodeService(node, settings, doors).run()
    return 0


def _make_private(home: Path) -> None:
    """The home is this account's alone. Raises `UsageError`, `StoreError`."""
    with told("make", home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = home.stat()
    if found.st_uid != os.geteuid():
        raise UsageError(
            f"{home} belongs to account {found.st_uid}", remedy="give it to the account that runs the agent"
        )
    if found.st_mode & _OTHERS:
        raise UsageError(f"{home} is open to other accounts", remedy=f"chmod 700 {home}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "agent",
        help=help_text(agent, "saksi agent --home /var/lib/saksi", "saksi agent --print-unit"),
    )(agent)
