"""The worker that sends heads out; the anchors themselves are in `test_anchors_edge`."""

from __future__ import annotations

import threading
import time

from saksi.processes.agent.anchors import AnchorWorker
from saksi.words.errors import StoreError


class Held:
    """An anchor that answers when it is let, and as it is told."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent = []
        self.called = threading.Semaphore(0)
        self.go = threading.Event()
        self.go.set()

    def send(self, run, size, note):
        self.called.release()
        assert self.go.wait(10)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.sent.append((run, size, note))


def eventually(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_offered_heads_are_sent():
    anchor = Held()
    worker = AnchorWorker(anchor, "run", clock=time.monotonic)
    for size in (1, 2):
        worker.offer(size, b"note %d" % size)
        eventually(lambda size=size: worker.statistics().last_size == size)
    assert worker.close(10)
    assert anchor.sent == [("run", 1, b"note 1"), ("run", 2, b"note 2")]
    assert worker.statistics()[:5] == (2, 0, 0, 2, None)
    assert worker.close(0)


def test_a_slow_anchor_holds_nobody_up_and_the_latest_head_wins():
    anchor = Held()
    anchor.go.clear()
    worker = AnchorWorker(anchor, "run", clock=time.monotonic)
    worker.offer(1, b"1")
    anchor.called.acquire()
    for size in (2, 3, 4):
        worker.offer(size, b"%d" % size)
    anchor.go.set()
    assert worker.close(10)
    assert [size for _, size, _ in anchor.sent] == [1, 4]
    assert worker.statistics().superseded == 2


def test_a_failed_send_is_tried_again_and_counted():
    anchor = Held(StoreError("the disk is full"), ValueError("a defect"))
    worker = AnchorWorker(anchor, "run", clock=time.monotonic, backoff=(0.001, 0.002))
    worker.offer(7, b"note")
    eventually(lambda: worker.statistics().sent == 1)
    assert worker.statistics()[:5] == (1, 2, 0, 7, "ValueError: a defect")
    assert worker.close(10)


def test_after_a_failure_it_waits_however_many_heads_arrive():
    anchor = Held(StoreError("no"))
    worker = AnchorWorker(anchor, "run", clock=time.monotonic, backoff=(60,))
    worker.offer(1, b"1")
    eventually(lambda: worker.statistics().failed == 1)
    for size in range(2, 50):
        worker.offer(size, b"")
    time.sleep(0.02)
    assert worker.statistics().failed == 1
    assert worker.close(10), "closing tries once more at once"
    assert [size for _, size, _ in anchor.sent] == [49]


def test_closing_gives_up_after_one_more_try():
    anchor = Held(*[StoreError("no")] * 10)
    worker = AnchorWorker(anchor, "run", clock=time.monotonic, backoff=(60,))
    worker.offer(1, b"1")
    eventually(lambda: worker.statistics().failed == 1)
    assert not worker.close(10)
    assert worker.statistics().failed == 2


def test_closing_does_not_wait_for_an_anchor_that_hangs():
    anchor = Held()
    anchor.go.clear()
    worker = AnchorWorker(anchor, "run", clock=time.monotonic)
    worker.offer(1, b"1")
    anchor.called.acquire()
    assert not worker.close(0.01)
    anchor.go.set()
    assert worker.close(10)


def test_the_longest_stretch_without_an_anchor_is_known():
    now = [100.0]
    worker = AnchorWorker(Held(), "run", clock=lambda: now[0])
    for at, size in [(105.0, 1), (107.0, 2)]:
        now[0] = at
        worker.offer(size, b"")
        eventually(lambda size=size: worker.statistics().last_size == size)
    assert worker.statistics().longest_stretch == 5.0
    now[0] = 120.0
    assert worker.statistics().longest_stretch == 13.0
    worker.close(10)
