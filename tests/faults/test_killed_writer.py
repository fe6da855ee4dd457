"""A real process that writes a local log, killed without warning, again and again."""

from __future__ import annotations

import random
import subprocess
import sys
import time

from log_soundness import assert_log_sound
from saksi.edges.store.local import LocalStore
from saksi.processes.agent.sequencer import Sequencer
from saksi.proofs.tlog.note import NoteSigner

ORIGIN = "saksi/run/0011223344556677"
WRITER = """
import sys
from pathlib import Path
from saksi.edges.store.local import LocalStore
from saksi.processes.agent.sequencer import Sequencer
from saksi.proofs.tlog.note import NoteSigner
log = Sequencer.open(LocalStore(Path(sys.argv[1])), sys.argv[2], NoteSigner(sys.argv[2], bytes(32)))
while True:
    first = log.head.size
    done = log.append([b"entry %d" % i for i in range(first, first + 1 + first % 90)])
    print(done.stop, flush=True)
    if first % 3 == 0:
        log.publish()
"""


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path):
    moments, acknowledged = random.Random(20261122), 0
    for _round in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "run"), ORIGIN], stdout=subprocess.PIPE, text=True
        ) as writer:
            first = writer.stdout.readline()
            time.sleep(moments.uniform(0, 0.15))
            writer.kill()
            lines = [first, *writer.stdout]
        # A last line may be cut short by the kill; an acknowledgement is a whole line.
        acknowledged = max([acknowledged, *(int(line) for line in lines if line.endswith("\n"))])
        store = LocalStore(tmp_path / "run")
        signer = NoteSigner(ORIGIN, bytes(32))
        log = Sequencer.open(store, ORIGIN, signer)
        assert log.head.size >= acknowledged
        assert_log_sound(store, [signer.key], [b"entry %d" % i for i in range(log.head.size)])
        log.close()
    assert acknowledged > 100
