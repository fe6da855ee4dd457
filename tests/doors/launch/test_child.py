"""The order in which a signal is told and passed on."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, sys, time
from saksi.doors.launch.child import Child, hold_signals

command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
child = Child(command, os.environ, hold_signals())

def seen(name, forwarded, sender):
    time.sleep(0.3)
    with open(f"/proc/{child.pid}/stat") as file:
        print(name, forwarded, file.read().rpartition(")")[2].split()[0] != "Z", flush=True)

ended = child.wait(seen)
print(ended.signal)
"""


def test_a_signal_is_told_while_the_command_lives_that_it_is_about_to_end():
    launcher = subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=subprocess.PIPE, text=True)
    assert launcher.stdout.readline() == "up\n"
    launcher.terminate()
    said, _ = launcher.communicate(timeout=60)
    assert said == "SIGTERM True True\n15\n"
