"""The last head outlives the process that kept it, whole or as the one before."""

from __future__ import annotations

import os
import signal
import time

from saksi.processes.agent.last_head import LastHead


def test_the_last_of_several_heads_is_kept():
    head = LastHead()
    assert head.note() is None
    for number in range(5):
        head.keep(b"note %d" % number)
    assert head.note() == b"note 4"


def test_a_note_that_does_not_fit_leaves_the_one_before():
    head = LastHead()
    head.keep(b"short")
    head.keep(b"x" * 9_000)
    assert head.note() == b"short"


def test_a_writer_that_is_killed_leaves_a_whole_head():
    head = LastHead()
    pid = os.fork()
    if pid == 0:
        number = 0
        while True:
            number += 1
            head.keep(b"%d " % number * 500)
    time.sleep(0.2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    words = head.note().split()
    assert len(words) == 500
    assert len(set(words)) == 1
