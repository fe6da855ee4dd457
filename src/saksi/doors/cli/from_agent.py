"""A run's bundle from the agent of the node, for the account whose job it was."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from saksi.edges.agent_socket import DEFAULT_SOCKET
from saksi.judgement.bundle import MAX_BUNDLE_BYTES
from saksi.processes.agent.node_messages import (
    PROTOCOL,
    Content,
    Fetch,
    Refused,
    hear_answer,
    receive_content,
    say,
)
from saksi.words.errors import MalformedInput, SaksiError, StoreError, UsageError

__all__ = ["fetch_bundle"]

ANSWER_S: Final = 60.0


def fetch_bundle(run: str, environment: Mapping[str, str] = os.environ) -> bytes:
    """The bundle of the run that `run` means among this account's. Not verified. Raises `SaksiError`."""
    path = Path(environment.get("SAKSI_AGENT") or DEFAULT_SOCKET)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(ANSWER_S)
        try:
            channel.connect(str(path))
            say(channel, Fetch(version=PROTOCOL, run=run))
            answer = hear_answer(channel)
            if isinstance(answer, Content):
                return receive_content(channel, most=MAX_BUNDLE_BYTES, announced=answer)
        except OSError as error:
            raise StoreError(
                f"no agent answers at {path}: {error.strerror or error}", remedy="name its socket with SAKSI_AGENT"
            ) from None
    if isinstance(answer, Refused):
        raise UsageError(answer.reason) if answer.why == "usage" else SaksiError(answer.reason)
    raise MalformedInput("message", "the agent answered something else")
