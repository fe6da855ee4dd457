"""The agent as a service of a node: one loop over many attempts of many accounts.

    asks      a thread each, bounded (`node_door.py`): from the connection to an attempt that has begun
    attempts  this loop: what arrives of each, what is due of each; an error belongs to one of them
    ends      a thread each: the last files, the anchors, the move home; nobody waits for another's

SIGTERM: no new attempts, and the control socket is given up at once, so that a new service may take its place; the
process ends with the last attempt. A second SIGTERM: a gap in each record, and the end, without an exit record: readers
see that the end of the job is not known. Training goes on in either case.
"""

from __future__ import annotations

import logging
import queue
import selectors
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from saksi.edges.agent_settings import AgentSettings
from saksi.edges.agent_socket import Doors
from saksi.edges.retention import remove_ended, usage_of
from saksi.processes.agent.bell import Bell
from saksi.processes.agent.node_attempt import Served, finish, let_go
from saksi.processes.agent.node_door import NodeDoor
from saksi.processes.agent.node_plan import NodeHome
from saksi.processes.agent.service import raise_file_limit

__all__ = ["NodeService"]

_logger = logging.getLogger(__name__)

TICK_S: Final = 0.1
SWEEP_S: Final = 3_600.0
LAST_ENDS_S: Final = 10.0
"""After a second SIGTERM: how long attempts that were closing may take."""
DAY_NS: Final = 86_400 * 10**9


class NodeService:
    """The loop. `run` returns when it was told to end and the last attempt is closed."""

    def __init__(self, place: NodeHome, settings: AgentSettings, doors: Doors) -> None:
        self._place = place
        self._settings = settings
        self._doors = doors
        self._selector = selectors.DefaultSelector()
        self._bell = Bell()
        self._begun: queue.SimpleQueue[Served] = queue.SimpleQueue()
        self._served: list[Served] = []
        self._ends: list[threading.Thread] = []
        self._door = NodeDoor(place, settings, sockets=doors.folder, admitted=self._admitted)
        self._told = 0  # how often we were told to end
        self._stopping = False
        self._swept = float("-inf")
        self._sweeping: threading.Thread | None = None

    def run(self) -> None:
        """Serve until told to end. Call it from the main thread: it takes the signals."""
        raise_file_limit()
        for each in (signal.SIGTERM, signal.SIGINT):
            signal.signal(each, self._be_told)
        self._doors.control.setblocking(False)
        self._selector.register(self._doors.control, selectors.EVENT_READ, self._accept)
        self._selector.register(self._bell, selectors.EVENT_READ, self._bell.hush)
        try:
            while self._goes_on():
                for key, _ in self._selector.select(timeout=TICK_S):
                    self._guarded(key.data)
                self._take_in()
                for served in self._served:
                    self._guarded(served.attempt.tick)
                    self._guarded(served.attempt.tell_news)
                self._sweep()
        finally:
            self._doors.close()
            self._selector.close()

    def _be_told(self, number: int, _frame: object) -> None:
        self._told += 1
        self._bell.ring()
        _logger.info("told to end (%s)", signal.Signals(number).name)

    def _accept(self) -> None:
        try:
            connected, _ = self._doors.control.accept()
        except BlockingIOError:
            return
        except OSError as error:  # no file, or no memory, to let anybody in with: it would wake us again at once
            _logger.warning("nobody can be let in: %s", error)
            time.sleep(TICK_S)
            return
        self._door.hear(connected)

    def _admitted(self, served: Served) -> None:
        self._begun.put(served)
        self._bell.ring()

    def _take_in(self) -> None:
        while True:
            try:
                served = self._begun.get_nowait()
            except queue.Empty:
                return
            self._guarded(lambda: self._watch(served))  # noqa: B023 - called at once

    def _watch(self, served: Served) -> None:
        try:
            served.attempt.begin()
            self._selector.register(served.attempt, selectors.EVENT_READ, served.attempt.react)
        except OSError:
            _logger.exception("run %s cannot be watched", served.planned.run)
            self._in_a_thread(served, reason="the agent could not watch the job")
            self._door.left(served.planned.account.uid)
            return
        self._served.append(served)

    def _goes_on(self) -> bool:
        """Close what is over; whether anything is left to do."""
        if self._told and not self._stopping:
            self._stopping = True
            self._door.close()
            self._selector.unregister(self._doors.control)
            self._doors.close_control()
            _logger.info("no new jobs; %d are still witnessed", len(self._served))
        for served in [each for each in self._served if self._told > 1 or each.attempt.is_over()]:
            self._served.remove(served)
            self._selector.unregister(served.attempt)
            at_once = "the agent was told to end at once while the job ran"
            self._in_a_thread(served, reason=at_once if self._told > 1 else None)
        self._ends = [each for each in self._ends if each.is_alive()]
        if not self._stopping:
            return True
        if self._told > 1:
            self._wait_for_the_last()
            return False
        return bool(self._served or self._ends or self._door.busy or not self._begun.empty())

    def _wait_for_the_last(self) -> None:
        deadline = time.monotonic() + LAST_ENDS_S
        for each in self._ends:
            each.join(max(0.0, deadline - time.monotonic()))

    def _in_a_thread(self, served: Served, *, reason: str | None) -> None:
        """Close an attempt; with a `reason`, before its job has ended."""

        def end() -> None:
            if reason is None:
                self._finish(served)
            else:
                self._break_off(served, reason)

        thread = threading.Thread(target=end, name=f"saksi-end-{served.planned.run}", daemon=True)
        thread.start()
        self._ends.append(thread)

    def _finish(self, served: Served) -> None:
        planned = served.planned
        try:
            sentence = finish(served, home=self._place.home)
            _logger.info("run %s, attempt %d: %s", planned.run, planned.number, sentence)
        except Exception:  # the record of one job must not end the service for the others
            _logger.exception("run %s could not be closed", planned.run)
        finally:
            self._door.left(planned.account.uid)
            self._bell.ring()

    def _break_off(self, served: Served, reason: str) -> None:
        try:
            served.attempt.break_off(reason)
            let_go(served)
            served.control.close()
        except Exception:  # as above
            _logger.exception("run %s could not be broken off", served.planned.run)

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception:  # an error of ours in one thing; the others' witness goes on
            _logger.exception("the agent failed in one thing and goes on")

    def _sweep(self) -> None:
        """Measure the home and remove what is old, now and then, in a thread."""
        if time.monotonic() - self._swept < SWEEP_S or (self._sweeping is not None and self._sweeping.is_alive()):
            return
        self._swept = time.monotonic()
        self._sweeping = threading.Thread(target=self._guarded, args=(self._look_through,), daemon=True)
        self._sweeping.start()

    def _look_through(self) -> None:
        home, days = self._place.home.root, self._settings.retention_days
        if days is not None:
            now = self._place.clock.wall_ns()
            removed = remove_ended(home, before_ns=now - days * DAY_NS, now_ns=now)
            _logger.info("%d runs that ended more than %d days ago were removed", len(removed), days)
        if self._settings.quota_bytes is not None:
            self._place.quota.measured(usage_of(home))
