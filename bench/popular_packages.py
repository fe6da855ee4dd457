"""Whether `saksi env verify` says anything of an untouched environment of popular packages. Fetches some gigabytes.

    .venv/bin/python bench/popular_packages.py FOLDER [--with PACKAGE ...]

Downloads the wheels into FOLDER/wheels, installs them into FOLDER/venv without an index, and looks at the result three
times: against the installers' own lists, against a manifest of the wheels, and at its doors. Nothing was changed, so
every difference that is told is false. FOLDER is kept, and used again. PIP_ARGS is handed to `pip download`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

BESIDE = ("torch==2.13.0", "transformers", "lightning", "scikit-learn")
POPULAR = (
    "accelerate", "datasets", "einops", "fastapi", "huggingface-hub", "hydra-core", "ipython", "jupyterlab",
    "matplotlib", "numba", "opencv-python-headless", "pandas", "pillow", "polars", "pyarrow", "pytest", "requests",
    "sentencepiece", "tensorboard", "timm", "wandb",
)  # fmt: skip


def run(*command: str | Path) -> None:
    """Raises `CalledProcessError`; what it prints is shown."""
    subprocess.run([str(each) for each in command], check=True)


def asked(*words: str | Path) -> tuple[int, dict[str, Any], float]:
    """What `saksi ... --json` ends with and says, and how long it took."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "saksi.doors.main", *map(str, words), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return done.returncode, json.loads(done.stdout), round(time.perf_counter() - started, 2)


def main() -> None:
    """Fetch, install, look."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--with", dest="more", nargs="*", default=[])
    options = parser.parse_args()
    folder = options.folder.absolute()
    wheels, venv, manifest = folder / "wheels", folder / "venv", folder / "env.manifest"
    python = venv / "bin" / "python"
    wanted = (*BESIDE, *POPULAR, *options.more)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    if not wheels.exists():
        run(*pip, "download", "--only-binary", ":all:", "-d", wheels, *os.environ.get("PIP_ARGS", "").split(), *wanted)
    if not python.exists():  # without pip of its own, which is none of the wheels
        run(sys.executable, "-m", "venv", "--without-pip", venv)
        run(*pip, "--python", python, "install", "--no-index", "--find-links", wheels, *wanted)
    code, listed, took = asked("env", "verify", "--python", python)
    manifest.unlink(missing_ok=True)
    made, _, _ = asked("env", "manifest", "-o", manifest, "--wheels", wheels, "--python", python)
    against, compared, _ = asked("env", "verify", "--python", python, "--manifest", manifest)
    _, doors, _ = asked("env", "doors", "--python", python)
    result = {
        "bench": "popular_packages",
        "wheels": len(list(wheels.glob("*.whl"))),
        "lists": {"exit": code, "took_s": took} | summary(listed),
        "manifest": {"made": made, "exit": against} | summary(compared),
        "doors": len(doors["doors"]),
    }
    print(f"{result['wheels']} wheels: {result['lists']['differences']} differences by the installers' lists, "
          f"{result['manifest']['differences']} against the manifest")  # fmt: skip
    print(json.dumps(result))


def summary(report: dict[str, Any]) -> dict[str, Any]:
    """The verdict, and every difference by kind."""
    differences = report.get("differences", [])
    shown = [
        f"{each.get('kind')} {each.get('label')}/{each.get('path')}: {each.get('message')}" for each in differences
    ]
    return {"verdict": report.get("verdict"), "differences": len(differences), "shown": shown[:40]}


if __name__ == "__main__":
    main()
