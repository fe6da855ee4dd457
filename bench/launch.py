"""Extra wall time of `saksi run` before the command starts, against starting the same command plainly.

Each pair starts a Python that prints CLOCK_MONOTONIC as its first act; the parent knows when it started the process.
The first run of an environment is measured apart: it asks the interpreter and hashes it. saksi's own bytecode is
there, as it is after an installation.

    .venv/bin/python bench/launch.py [--python EXE] [--pairs 15]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAKSI = str(Path(sys.executable).with_name("saksi"))
CODE = "import time; print(time.clock_gettime_ns(time.CLOCK_MONOTONIC))"


def started_after(words, environment):
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return (int(done.stdout) - before) / 1e9


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment = {**inherited, "SAKSI_HOME": f"{folder}/home", "XDG_CACHE_HOME": f"{folder}/cache"}
        plain_words = [options.python, "-c", CODE]
        words = [SAKSI, "run", "-q", "--", *plain_words]
        first = started_after(words, environment)
        pairs = [
            (started_after(words, environment), started_after(plain_words, environment)) for _ in range(options.pairs)
        ]
    extra = sorted(with_saksi - plain for with_saksi, plain in pairs)
    result = {
        "bench": "launch",
        "first_s": round(first, 3),
        "plain_median_s": round(statistics.median(plain for _, plain in pairs), 3),
        "extra_median_s": round(statistics.median(extra), 3),
        "extra_min_s": round(extra[0], 3),
        "extra_max_s": round(extra[-1], 3),
        "pairs": options.pairs,
    }
    print(
        f"extra wall before the command starts: median {result['extra_median_s']} s "
        f"({result['extra_min_s']} to {result['extra_max_s']}), first run of an environment {result['first_s']} s"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
