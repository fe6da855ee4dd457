"""Whether every honest program of `saksi range` ends in the same bits with and without saksi, at both levels.

Behind `import torch` each program imports one module more, which hashes, behind every update of every optimizer, the
parameters and all of the optimizer's state, in order; at the end of a process it prints that digest. So not only the
last weights are compared, but those of each step, of every rank. The program is run plainly, and under `saksi run` at
`standard` and at `full`, each time in a new folder and with the same seed; what it printed and every file that it left
must be the same, byte for byte.

Programs that are in the range a second time under a plan are the same programs, and are run once.

    .venv/bin/python bench/honest_bits.py [--python .venv-train/bin/python] [--jobs 2] [--only NAME] [--seed 0]
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

from saksi.range.compose import clean_files
from saksi.range.honest import ALL

SAKSI = (sys.executable, "-m", "saksi.doors.main")
LEVELS = (None, "standard", "full")
TORCH = "\nimport torch\n"
BITS = """
import atexit, hashlib
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

hashed, updates = hashlib.sha256(), [0]


def tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from tensors(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from tensors(each)


def behind(optimizer, args, kwargs):
    updates[0] += 1
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for each in (parameter.detach(), *tensors(optimizer.state.get(parameter, {}))):
                plain = each.to_dense() if each.layout != torch.strided else each
                hashed.update(plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


register_optimizer_step_post_hook(behind)
atexit.register(lambda: updates[0] and print("bits", updates[0], hashed.hexdigest(), flush=True))
"""


def outcome(variant, python, seed, level, cache):
    """What its launches printed, how they ended, and the files that are there then."""
    with tempfile.TemporaryDirectory(prefix="saksi-bits-") as place:
        folder = Path(place) / "project"
        files = {**clean_files(variant.program, seed=seed), "packages/bits.py": BITS}
        files[variant.program] = files[variant.program].replace(TORCH, f"{TORCH}import bits\n", 1)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        inherited = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        environment = {
            **inherited,
            "HOME": place,
            "SAKSI_HOME": f"{place}/home",
            "XDG_CACHE_HOME": cache,
            "PYTHONPATH": str(folder / "packages"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        words = [python, variant.program, *variant.arguments]
        said = []
        for number in range(variant.launches):
            resuming = ("--resume", "last") if number else ()
            # Nothing is thinned: what is asked here is whether looking changes anything.
            under = (*SAKSI, "run", "-q", "--overhead-budget", "100", *resuming, "--level", level, "--")
            done = subprocess.run(
                [*(under if level else ()), *words], cwd=folder, env=environment, capture_output=True, text=True,
                timeout=300, check=False,
            )  # fmt: skip
            if done.returncode not in variant.ends:
                raise SystemExit(f"{variant.name} ended with {done.returncode}: {done.stderr[-600:]}")
            said.append((done.returncode, sorted(done.stdout.splitlines())))
        left = {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and str(path.relative_to(folder)) not in files
        }
    return said, left


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=".venv-train/bin/python")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    python = str(Path(options.python).absolute())
    seed = Random().randrange(2**31) if options.seed is None else options.seed
    chosen = [each for each in ALL if not each.settings and (not options.only or each.name in options.only)]
    with tempfile.TemporaryDirectory(prefix="saksi-bits-cache-") as cache:

        def compared(variant):
            plain, *witnessed = (outcome(variant, python, seed, level, cache) for level in LEVELS)
            counted = [line for _, lines in plain[0] for line in lines if line.startswith("bits ")]
            unlike = [level for level, each in zip(LEVELS[1:], witnessed, strict=True) if each != plain]
            updates = sum(int(each.split()[1]) for each in counted)
            how = f"OTHER at {', '.join(unlike)}" if unlike else "as plain"
            print(f"{variant.name}: {updates} updates, {len(plain[1])} files: {how}", flush=True)
            if unlike:
                print(json.dumps([plain, *witnessed], indent=1), file=sys.stderr, flush=True)
            return {"program": variant.name, "updates": updates, "files": len(plain[1]), "unlike": unlike}

        with ThreadPoolExecutor(options.jobs) as pool:
            found = list(pool.map(compared, chosen))
    apart = [each["program"] for each in found if each["unlike"]]
    unseen = [each["program"] for each in found if not each["updates"]]
    print(f"{len(found)} programs, seed {seed}: {len(found) - len(apart)} end in the same bits at both levels")
    print(json.dumps({"schema": "saksi.bench.honest_bits/v1", "seed": seed, "apart": apart, "nothing_compared": unseen,
                      "programs": found}))  # fmt: skip
    return 1 if apart or unseen else 0


if __name__ == "__main__":
    raise SystemExit(main())
