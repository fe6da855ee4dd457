"""Small shared objects, and a process that has them loaded."""

from __future__ import annotations

import os
import subprocess

SOURCE = "int saksi_nothing(void) { return 1; }"


def build(folder, source=SOURCE, name="libnothing.so"):
    """A shared object that does nothing."""
    (folder / "source.c").write_text(source)
    built = folder / name
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", built, folder / "source.c"], check=True)
    return built


def start(variables, *command):
    """A process that waits, with these variables beside a few others; returned once its program has begun."""
    command = command or ("cat",)
    child = subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    if command == ("cat",):
        child.stdin.write(b"x")
        child.stdin.flush()
        child.stdout.read(1)
    return child
