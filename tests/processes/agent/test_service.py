"""What an agent does with the signals that end a job."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
SCRIPT = """
import os, signal, subprocess, sys
from saksi.processes.agent.service import ignore_the_jobs_signals
ignore_the_jobs_signals()
for each in sys.argv[1:]:
    os.kill(os.getpid(), getattr(signal, each))
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
child.send_signal(getattr(signal, sys.argv[1]))
print(-child.wait(20))
"""


@pytest.mark.parametrize("first", ENDING)
def test_what_ends_a_job_ends_no_agent_and_every_command_that_one_starts(first):
    """A command that is told to end, by `timeout` say, must not have its deafness."""
    words = [sys.executable, "-c", SCRIPT, first, *ENDING]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) == getattr(signal, first)
