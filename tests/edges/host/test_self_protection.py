"""What a process asks of the kernel for itself does what is said, and ends where that is said."""

import os
import subprocess
import sys

from saksi.edges.host.self_protection import orphans_adopted

SIX_AT_ONCE = """
import faulthandler, os, signal, sys
from saksi.edges.host.self_protection import leave_the_signal_stack
faulthandler.enable(open(os.devnull, "w"))
numbers = (1, 2, 3, 10, 12, 15)
heard = []
for each in numbers:
    signal.signal(each, lambda number, frame: heard.append(number))
assert leave_the_signal_stack()
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
for each in numbers:
    os.kill(os.getpid(), each)
signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
print(sorted(heard))
"""


def test_signals_that_come_at_once_are_all_handled_whatever_stack_was_set_up_for_them():
    done = subprocess.run([sys.executable, "-c", SIX_AT_ONCE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "[1, 2, 3, 10, 12, 15]\n")


STACK = """
import ctypes, faulthandler, os
from saksi.edges.host.self_protection import SS_DISABLE, _Stack, leave_the_signal_stack
faulthandler.enable(open(os.devnull, "w"))
def is_left():
    found = _Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.ss_flags == SS_DISABLE
print(is_left(), leave_the_signal_stack(), is_left())
"""


def test_a_signal_stack_is_left_for_good():
    done = subprocess.run([sys.executable, "-c", STACK], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False True True\n"


ORPHAN = """
import os, time
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        time.sleep(0.01)
    print(os.getppid())
"""


def parent_of_an_orphan():
    """Who has a process whose own parent is dead."""
    return int(subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, timeout=60, check=True).stdout)


def test_orphans_are_adopted_until_the_end_and_no_longer():
    before = parent_of_an_orphan()
    assert before != os.getpid()
    with orphans_adopted():
        with orphans_adopted():
            assert parent_of_an_orphan() == os.getpid()
        assert parent_of_an_orphan() == os.getpid()
    assert parent_of_an_orphan() == before
    for _ in range(2):
        os.wait()
