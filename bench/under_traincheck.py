"""TrainCheck as its documentation says to use it: collect a trace, infer invariants, check another trace.

It lives in an environment of its own, which `--env` names or which is made in a temporary folder with pip. Nothing of
saksi needs it, and it is installed beside nothing of saksi's.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

VERSION = "0.2.0"
TORCH = "2.13.0"
WARM_UP, INTERVAL = 10, 10
"""How it samples steps while it checks, unless told otherwise: all of the first ten, then each tenth."""


class NotDone(Exception):
    """One of its commands failed or took too long; the text is the end of what it said."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--env", type=Path, help="its environment; made there with pip if it is no folder yet")
    parser.add_argument("--torch", default=TORCH, help="the torch that is installed with it")
    parser.add_argument("--pip-args", default="", help="handed on to pip, as one word")


def environment(options: argparse.Namespace, folder: Path) -> Path:
    """The folder `bin` of its environment, which is made first where there is none."""
    where = options.env or folder / "env"
    if not where.is_dir():
        print(f"making {where} with traincheck {VERSION} and torch {options.torch}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", where], check=True)
        wanted = (f"torch=={options.torch}", f"traincheck=={VERSION}")
        subprocess.run(
            [where / "bin" / "python", "-m", "pip", "install", "--quiet", *shlex.split(options.pip_args), *wanted],
            check=True,
            stdout=sys.stderr,
        )
    return where.resolve() / "bin"


def versions(home: Path) -> dict[str, str]:
    """What is installed there."""
    asked = (
        "import json, platform; from importlib.metadata import version; "
        "print(json.dumps({'python': platform.python_version(), **{n: version(n) for n in ('traincheck', 'torch')}}))"
    )
    found: dict[str, str] = json.loads(subprocess.check_output([home / "python", "-c", asked], text=True))
    return found


def collect(
    home: Path,
    script: Path,
    trace: Path,
    *,
    invariants: Path | None = None,
    sampled: tuple[int, int] | None = None,
    limit_s: float = 900.0,
) -> str:
    """Run `script` instrumented and leave its trace. With `invariants`, only what they need is traced.

    `sampled` are the steps at the start that are all traced, and the interval afterwards. Returns what it printed.
    """
    words = ["--pyscript", str(script), "--models-to-track", "model", "--output-dir", str(trace)]
    if invariants is not None:
        words += ["--invariants", str(invariants)]
    if sampled is not None:
        words += ["--warm-up-steps", str(sampled[0]), "--sampling-interval", str(sampled[1])]
    _run([str(home / "traincheck-collect"), *words], trace.parent, limit_s)
    return (trace / "program_output.txt").read_text("utf-8", "replace")


def infer(home: Path, traces: list[Path], to: Path, *, workers: int, limit_s: float = 1800.0) -> int:
    """Infer invariants from traces of good runs into the file `to`. Returns how many there are."""
    words = ["-f", *map(str, traces), "-o", str(to), "-j", str(workers)]
    _run([str(home / "traincheck-infer"), *words], to.parent, limit_s)
    return len(to.read_text("utf-8").splitlines())


def check(home: Path, trace: Path, invariants: Path, *, workers: int = 1, limit_s: float = 900.0) -> list[dict]:
    """The invariants that the trace violates, each as it reports it."""
    to = trace.with_name(trace.name + "-checked")
    words = ["-f", str(trace), "-i", str(invariants), "-o", str(to), "--no-html-report", "-j", str(workers)]
    _run([str(home / "traincheck-check"), *words], trace.parent, limit_s)
    return list(_documents((to / trace.name / "failed.log").read_text("utf-8")))


def _documents(text: str) -> Iterator[dict]:
    """Documents that stand one after the other in one file."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, end = decoder.raw_decode(text, at)
        yield found
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _run(words: list[str], folder: Path, limit_s: float) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SAKSI_", "PYTHON"))}
    with subprocess.Popen(
        words,
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise NotDone(f"{Path(words[0]).name}: not done within {limit_s:g} seconds") from None
            raise
    if process.returncode != 0:
        last = " / ".join(said.strip().splitlines()[-4:])[-600:]
        raise NotDone(f"{Path(words[0]).name} ended with {process.returncode}: {last}")


def seconds_of(work, *words, **more):
    """What `work` returns, and how long it took."""
    began = time.perf_counter()
    done = work(*words, **more)
    return done, time.perf_counter() - began


def bytes_in(trace: Path) -> int:
    """What a trace takes on disk, with what else the tool leaves beside it."""
    return sum(each.stat().st_size for each in trace.rglob("*") if each.is_file())
