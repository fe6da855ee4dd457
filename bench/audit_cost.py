"""What an audit costs: the same Steps plain, replayed from the start, and replayed behind a resume.

`examples/gpt` is trained once under a seal, with a model checkpoint each quarter. Then, in turns: the last quarter
plainly, as the script itself resumes it; `saksi audit --steps` of that quarter; the whole training plainly; and
`saksi audit` of all of it. Wall time of whole commands, medians, and ratios in pairs. An audit verifies the
environment, imports torch and reads the record once whatever it replays: the ratio falls with the length of a training.

    .venv/bin/python bench/audit_cost.py [--python .venv-train/bin/python] [--steps 400] [--pairs 3]

Target: 1.3 times the same Steps, without naming.
"""

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

SAKSI = (sys.executable, "-m", "saksi.doors.main")
GPT = Path(__file__).parents[1] / "examples" / "gpt"
GIT = ("git", "-c", "user.name=bench", "-c", "user.email=bench@example.org")
RESUME = ("--resume-with", "--resume {ckpt}")


class Project:
    """A repository with the training, sealed against a manifest of its environment and approved."""

    def __init__(self, folder: Path, python: str, steps: int) -> None:
        self.folder = folder / "project"
        shutil.copytree(GPT, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        (self.folder / ".gitignore").write_text("out/\n__pycache__/\n")
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.environment = {**inherited, "SAKSI_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
        self.words = (python, "train.py", "--steps", str(steps), "--save-every", str(steps // 4), "--out", "out")
        for git_words in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "the experiment")):
            self.call(*GIT, *git_words)
        key, manifest, seal = (str(folder / name) for name in ("key", "manifest", "seal"))
        self.call(*SAKSI, "keys", "create", key, "--name", "bench")
        self.call(*SAKSI, "keys", "trust", f"{key}.vkey", "--approver")
        self.call(*SAKSI, "env", "manifest", "-o", manifest, "--reference", "--python", python, "--key", key)
        held = ("--manifest", manifest, "--trust", f"{key}.vkey")
        self.call(*SAKSI, "seal", "create", "-q", *held, "-o", seal, "--", *self.words)
        self.call(*SAKSI, "seal", "approve", seal, "--key", key)
        self.call(*SAKSI, "run", "-q", "--overhead-budget", "100", "--seal", seal, "--", *self.words)

    def call(self, *words: str) -> float:
        """Wall seconds of a command, which has to succeed."""
        began = time.monotonic()
        done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stdout + done.stderr)[-500:]
            raise SystemExit(f"{' '.join(words[:6])} ended with {done.returncode}: {said}")
        return time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    steps, quarter = options.steps // 4 * 4, options.steps // 4
    python = str(Path(options.python).absolute())
    with tempfile.TemporaryDirectory(prefix="saksi-bench-", dir="/var/tmp") as folder:
        project = Project(Path(folder), python, steps)
        elsewhere = str(Path(folder) / "elsewhere")
        from_ckpt = ("--resume", f"out/ckpt-{steps - quarter:06}.pt", "--out", elsewhere)
        audit = (*SAKSI, "audit", "last", "--no-naming")
        times: dict[str, list[float]] = {"quarter": [], "resumed": [], "whole": [], "all": []}
        for _ in range(options.pairs):
            times["quarter"].append(project.call(*project.words, *from_ckpt))
            times["resumed"].append(project.call(*audit, "--steps", f"{steps - quarter}:{steps - 1}", *RESUME))
            times["whole"].append(project.call(*project.words, "--out", elsewhere))
            times["all"].append(project.call(*audit))
    ratios = {
        name: statistics.median(a / b for a, b in zip(times[name], times[plain], strict=True))
        for name, plain in (("resumed", "quarter"), ("all", "whole"))
    }
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(
        f"the last {quarter} of {steps} steps: plain {medians['quarter']:.1f} s, audited behind a resume "
        f"{medians['resumed']:.1f} s, {ratios['resumed']:.2f} times (target 1.3)"
    )
    print(
        f"all {steps} steps: plain {medians['whole']:.1f} s, audited from the start {medians['all']:.1f} s, "
        f"{ratios['all']:.2f} times (target 1.3)"
    )
    result = {"schema": "saksi.bench.audit_cost/v1", "steps": steps, "pairs": options.pairs}
    print(json.dumps({**result, "times": times, "ratios": ratios}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
