"""The order in which a signal is told and passed on."""

from __future__ import annotations

import signal
import subprocess
import sys

SCRIPT = """
import os, signal, sys, time
from saksi.doors.launch.child import Child, hold_signals

command = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
child = Child(command, os.environ, hold_signals())

def seen(name, forwarded, sender):
    if name == "SIGUSR1":
        os.killpg(0, signal.SIGTERM)
    time.sleep(0.3)
    lives = os.path.exists(f"/proc/{child.pid}") or None
    if lives:
        with open(f"/proc/{child.pid}/stat") as file:
            lives = file.read().rpartition(")")[2].split()[0] != "Z"
    print(name, forwarded, lives, flush=True)

ended = child.wait(seen)
print(ended.signal)
"""


RAISING = SCRIPT.replace("    time.sleep(0.3)\n", "    raise OSError('nobody listens')\n").replace(
    "ended = child.wait(seen)\n",
    "try:\n    child.wait(seen)\nexcept OSError:\n    ended = child.wait(lambda *_: None)\n",
)


def said_after(number, script=SCRIPT, **options):
    """What the launcher says that gets a signal once its command runs."""
    launcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, **options)
    assert launcher.stdout.readline() == "up\n"
    launcher.send_signal(number)
    return launcher.communicate(timeout=60)[0]


def test_a_signal_is_told_while_the_command_lives_that_it_is_about_to_end():
    assert said_after(signal.SIGTERM) == "SIGTERM True True\n15\n"


def test_a_signal_to_the_whole_group_is_told_though_the_command_has_ended_before_anybody_looked():
    said = said_after(signal.SIGUSR1, start_new_session=True)
    assert said == "SIGUSR1 True False\nSIGTERM False None\n15\n"


def test_a_signal_is_sent_although_nobody_could_be_told():
    assert said_after(signal.SIGTERM, RAISING) == "15\n"
