"""How long `saksi env verify` takes: first pass, repeated pass, all bytecode; beside AIDE on the same tree.

    .venv/bin/python bench/env_verify.py --python .venv-train/bin/python [--repeats 5] [--bytecode] [--only purelib] \
        [--rehearsed "examples/gpt/train.py --steps 3"]

Passes are timed in this process, after the imports, and as a whole program. AIDE is measured where it is installed
(`apt-get install aide`): it makes a database of SHA-256 of the same folders, and checks against it. Files are in the
page cache before anything is timed, for both.
"""

import argparse
import gc
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from saksi.doors.cli.env_verify import report_on
from saksi.edges.environment.listing import Question

IMPORTED = """\
import contextlib, os, runpy, sys
sys.argv = sys.argv[1:]
with contextlib.redirect_stdout(sys.stderr), contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
for module in list(sys.modules.values()):
    if isinstance(file := getattr(module, "__file__", None), str) and file.endswith(".py"):
        print(os.path.abspath(file))
"""

AIDE = """\
database_in=file:{folder}/aide.db
database_out=file:{folder}/aide.new
gzip_dbout=no
report_url=stdout
Every = p+i+n+u+g+s+m+c+sha256
{lines}
"""


def timed(call):
    before, cpu = time.perf_counter(), os.times()
    value = call()
    after = os.times()
    used = sum(after[:4]) - sum(cpu[:4])
    return round(time.perf_counter() - before, 3), round(used, 3), value


def imported_by(command, python, roots, folder):
    """What `command` imports, as `Question.sources` names it: by the label of the deepest root, and the path in it."""
    script, *arguments = shlex.split(command)
    words = [str(python), "-c", IMPORTED, str(Path(script).resolve()), *arguments]
    said = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=True).stdout
    deepest = sorted(roots, key=lambda each: len(each.folder), reverse=True)
    places = [(each.label, each.folder.rstrip("/") + "/") for each in deepest]
    found = set()
    for file in said.splitlines():
        for label, start in places:
            if file.startswith(start):
                found.add((label, file.removeprefix(start)))
                break
    return frozenset(found)


def judged(python, cache, *, bytecode, jobs, only, sources=None):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    question = Question(
        python=python,
        environment=environment,
        folder=Path("/"),
        cache=cache,
        bytecode=bytecode,
        jobs=jobs,
        only=only,
        sources=sources,
    )
    return report_on(question, None, now_ns=time.time_ns())


def whole_program(python, cache):
    words = [
        sys.executable,
        "-m",
        "saksi.doors.main",
        "env",
        "verify",
        "--python",
        str(python),
        "--no-bytecode",
        "--json",
    ]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=False)


def aide(folders, folder):
    configuration = folder / "aide.conf"
    lines = "\n".join(f"{each} Every" for each in folders)
    configuration.write_text(AIDE.format(folder=folder, lines=lines))
    start = ["aide", "--config", str(configuration)]
    init = timed(lambda: subprocess.run([*start, "--init"], stdout=subprocess.DEVNULL, check=True))
    (folder / "aide.new").rename(folder / "aide.db")
    check = timed(lambda: subprocess.run([*start, "--check"], stdout=subprocess.DEVNULL, check=False))
    return {"init_s": init[0], "init_cpu_s": init[1], "check_s": check[0], "check_cpu_s": check[1]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", type=Path, default=Path(sys.executable))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--bytecode", action="store_true", help="compare all bytecode too: a minute")
    parser.add_argument("--rehearsed", metavar="COMMAND", help="compare the bytecode of what this script imports")
    parser.add_argument("--only", action="append", help="these roots alone, by label")
    options = parser.parse_args()
    python = options.python.absolute()
    only = frozenset(options.only) if options.only else None
    gc.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = {"jobs": options.jobs, "only": only}
        judged(python, None, bytecode=False, **arguments)  # into the page cache
        first = timed(lambda: judged(python, folder / "cache", bytecode=False, **arguments))
        again = [
            timed(lambda: judged(python, folder / "cache", bytecode=False, **arguments)) for _ in range(options.repeats)
        ]
        whole_program(python, folder)
        programs = [timed(lambda: whole_program(python, folder)) for _ in range(options.repeats)]
        report = first[2]
        result = {
            "bench": "env_verify",
            "files": sum(each.files for each in report.roots),
            "bytes": sum(each.bytes for each in report.roots),
            "pyc": report.bytecode.files,
            "differences": len(report.differences),
            "first_s": first[0],
            "first_cpu_s": first[1],
            "repeat_median_s": statistics.median(each[0] for each in again),
            "repeat_min_s": min(each[0] for each in again),
            "repeat_cpu_median_s": statistics.median(each[1] for each in again),
            "program_median_s": statistics.median(each[0] for each in programs),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        if options.bytecode:
            proof = timed(lambda: judged(python, folder / "cache", bytecode=True, **arguments))
            after = timed(lambda: judged(python, folder / "cache", bytecode=True, **arguments))
            result |= {"bytecode_s": proof[0], "bytecode_again_s": after[0], "bytecode_equal": proof[2].bytecode.equal}
        if options.rehearsed:
            sources = imported_by(options.rehearsed, python, report.roots, folder)
            cache = folder / "rehearsed"
            judged(python, cache, bytecode=False, **arguments)  # every file's digest is known, no proof is
            proof = timed(lambda: judged(python, cache, bytecode=True, sources=sources, **arguments))
            compared = proof[2].bytecode.equal
            result |= {"rehearsed_sources": len(sources), "rehearsed_s": proof[0], "rehearsed_equal": compared}
        if shutil.which("aide"):
            folders = [each.folder for each in report.roots if each.label in {"purelib", "platlib", "stdlib"}]
            result["aide"] = aide(folders, folder)
        else:
            print("aide is not installed: not measured (apt-get install aide)", file=sys.stderr)
    print(
        f"{result['files']:,} files, {result['bytes'] / 1e9:.2f} GB: first pass {result['first_s']} s, again "
        f"{result['repeat_median_s']} s (whole program {result['program_median_s']} s)"
    )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
