"""A Python that has loaded torch already and forks for each script: what a script does by itself then costs a second.

Started as `python warm.py MODULE...`; each line of its input is JSON, the words of a script and where its output goes;
each line of its output is the exit status of one. A child runs the script as its main module and ends as any
interpreter does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path


class Warm:
    """The process, while the tests run: a `python`, given `options`, that has loaded `modules`."""

    def __init__(
        self,
        python: str = sys.executable,
        modules: tuple[str, ...] = ("torch._dynamo",),
        options: tuple[str, ...] = (),
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAKSI")}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([python, *options, __file__, *modules], env=environment, **pipes)

    def run(self, words: list[str], output: Path) -> int:
        """Run one script to its end; its exit status, negative for a signal. Its errors go to `output` with `.err`."""
        self._process.stdin.write(json.dumps([words, str(output)]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """No more scripts."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


def _serve() -> list[str]:
    """The words of a script, in the child that is to run it."""
    for name in sys.argv[1:]:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # no child looks, at its end, at what torch is made of: each would copy all of it
    answers = os.dup(1)
    for line in sys.stdin:
        words, output = json.loads(line)
        child = os.fork()
        if child == 0:
            for descriptor, name, flags in (
                (0, os.devnull, os.O_RDONLY),
                (1, output, os.O_WRONLY | os.O_CREAT),
                (2, output + ".err", os.O_WRONLY | os.O_CREAT),
            ):
                os.dup2(os.open(name, flags), descriptor)
            return words
        os.write(answers, f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    sys.argv = _serve()
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
