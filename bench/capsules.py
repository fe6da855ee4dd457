"""What capsules cost a training, and what it costs a replay to get to one.

The GPT of `bench/recorder_cost.py` with 10.7 million parameters, AdamW, one thread: unrecorded; recorded with a capsule
each `--every` Steps; and hollow up to the last of those capsules, from where two Steps are trained. A capsule's stall
is the time from its root to its frame, in which the training thread writes the file. A skipped Step is told with its
median, and as the mean over all of them, the first two and the putting in of the capsule included.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from recorder_cost import RECORDER, SCRIPT, SIZES, TOKEN, listen

TARGETS = {"stall": 0.01, "skipped": 0.05}
BEHIND = 2  # Steps behind the last capsule


def once(python: str, steps: int, **asked: str) -> dict[str, object]:
    """One run of so many Steps, recorded if anything is asked; the script's times and the frames."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SAKSI_")} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        packets = listen(folder + "/agent")
        if asked:
            env |= {"PYTHONPATH": str(RECORDER), "SAKSI_SOCKET": folder + "/agent", "SAKSI_TOKEN": TOKEN, **asked}
        words = [str(word) for word in (steps, *SIZES["10M"], "AdamW", "cpu")]
        done = subprocess.run([python, "-c", SCRIPT, *words], env=env, capture_output=True, text=True, check=True)
        time.sleep(0.2)
        frames = [json.loads(packet) for packet in packets if packet.startswith(b'{"kind"')]
    return {**json.loads(done.stdout), "frames": frames}


def hollow(python: str, recorded: dict[str, object], folder: Path, steps: int) -> dict[str, object]:
    """The same, hollow up to the last capsule."""
    frames = recorded["frames"]
    last = [each for each in frames if each["kind"] == "capsule"][-1]
    updates = [each for each in frames if each["kind"] == "update" and each["update"] <= last["step"]]
    made = [
        [
            each["optimizer"],
            each["loss"],
            each["gradient_norm"]["value"],
            each["skipped"],
            ",,",
        ]  # no loader is iterated
        for each in updates
    ]
    order = {"version": 1, "forward": False, "made": made, "generators": updates[-1]["rng"]}
    folder.mkdir()
    shutil.copy(last["path"], folder / "0.safetensors")
    (folder / "0.json").write_text(json.dumps(order))
    return once(python, steps, SAKSI_LEVEL="standard", SAKSI_HOLLOW=str(folder))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--capsules", type=int, default=3)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    skipped = options.every * options.capsules
    steps = skipped + BEHIND
    rows: dict[str, list[float]] = {name: [] for name in ("step", "stall", "median", "mean")}
    size, exact = 0, True
    for number in range(options.repeats):
        print(f"repeat {number + 1} of {options.repeats}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            plain = once(options.python, options.every)
            asked = {"SAKSI_LEVEL": "standard", "SAKSI_CAPSULES": f"every={options.every}:{folder}/capsules"}
            recorded = once(options.python, steps, **asked)
            after = hollow(options.python, recorded, Path(folder, "hollow"), steps)
        frames = recorded["frames"]
        roots = {each["step"]: each["mono_ns"] for each in frames if each["kind"] == "root" and each["at"] == "step"}
        told = [each for each in frames if each["kind"] == "capsule"]
        size = told[-1]["size"]
        step = statistics.median(plain["wall"][2:])
        rows["step"].append(step)
        rows["stall"] += [(each["mono_ns"] - roots[each["step"]]) / 1e9 for each in told]
        rows["median"].append(statistics.median(after["wall"][2:skipped]) / step)
        rows["mean"].append(sum(after["wall"][:skipped]) / skipped / step)
        exact = exact and _end(recorded) == _end(after)
    step, stall = statistics.median(rows["step"]), statistics.median(rows["stall"])
    result = {
        "schema": "saksi.bench.capsules/v1",
        "step_ms": round(step * 1e3, 1),
        "capsule_bytes": size,
        "stall_ms": round(stall * 1e3, 1),
        "stall_of_a_step": {str(every): round(stall / step / every, 5) for every in (10, 100, 1000)},
        "skipped_median": round(statistics.median(rows["median"]), 4),
        "skipped_mean": round(statistics.median(rows["mean"]), 4),
        "same_end": exact,
        "targets": TARGETS,
    }
    print(json.dumps(result))
    return 0


def _end(run: dict[str, object]) -> str:
    return [each["root"] for each in run["frames"] if each["kind"] == "root"][-1]


if __name__ == "__main__":
    raise SystemExit(main())
