"""A process of its own that speaks to an agent's socket with one kind of hostility, and then vanishes.

    python hostile_peer.py SOCKET TOKEN HOSTILITY SEED PACKETS

Every fourth connection knocks with a wrong token, every fourth says nothing valid after its knock; the others attach
and are hostile behind their hello.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.hostile_packets import HOSTILITIES, KINDS, Speaker

PACKETS_OF_ONE = 40


def speak(path: str, token: str, hostility: str, random: Random, *, manner: int) -> int:
    """One connection; how many packets could be sent before the agent closed it."""
    speaker, sent = Speaker(random), 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connected, contextlib.suppress(OSError):
        connected.connect(path)
        connected.send(b"saksi-knock/v1 " + (token if manner else token[::-1]).encode())
        if manner > 1:
            hello = speaker.packet("hello", pid=os.getpid(), rank=0, world_size=1, forked=False)
            connected.send(speaker.say(hello))
        for _ in range(PACKETS_OF_ONE):
            kind = random.choice(list(KINDS))
            connected.send(HOSTILITIES[hostility](speaker, kind))
            sent += 1
    return sent


def main() -> None:
    path, token, hostility, seed, packets = sys.argv[1:]
    random = Random(seed)
    sent = connections = 0
    while sent < int(packets) and connections < int(packets):
        sent += speak(path, token, hostility, random, manner=connections % 4)
        connections += 1


if __name__ == "__main__":
    main()
