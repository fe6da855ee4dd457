"""Many processes on one node service: how many step records a second it takes, and whether any were dropped.

    python bench/load.py [--jobs 2] [--ranks 8] [--rate 2000] [--seconds 300]

Each job is a real `saksi run` whose command starts the ranks; each rank speaks through the recorder's own channel, as
often as its share of the rate, frames of the size that a small model has (about 2.5 KB). Nothing is trained: on two
cores that would measure torch. What counts is read back from the logs, as anybody would read them: steps witnessed of
each rank, frames counted as dropped, and what `saksi verify` says.

Target: 2 jobs of 8 processes, 2,000 records/s for 5 minutes on 2 cores with nothing dropped, or the drops counted.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDER = Path(__file__).parents[1] / "src" / "saksi" / "recorder" / "path"
SAKSI = [sys.executable, "-m", "saksi.doors.main"]

RANK = r"""
import os, sys, time
from saksi_recorder.channel import Channel
rank, size, rate, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
print_of = lambda name: {"name": name, "over": "parameters", "share": 0, "of": 1, "start": "ab" * 16, "end": "ab" * 16}
HELLO = {"version": 1, "pid": os.getpid(), "ppid": os.getppid(), "rank": rank, "local_rank": rank, "world_size": size,
    "forked": False, "level": "standard", "python": "3.11.0", "implementation": "cpython", "executable": sys.executable,
    "torch": "none", "threads": 1, "deterministic": False, "flags": {}, "fingerprint_key": os.urandom(32).hex(),
    "switched_off": False}
UPDATE = {"optimizer": 0, "skipped": False, "phase_ns": {"data": 1000, "compute": 1000, "optimizer": 1000}, "loss": 1.5,
    "losses": 1, "groups": [{"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.1, "note": "x" * 1100}],
    "groups_omitted": 0, "gradient_norm": {"value": 2.0, "max_norm": 1.0, "coefficient": 0.5}, "batches_omitted": 0,
    "batches": [{"loader": 0, "ordinal": 0, "digest": "sha256:" + "ef" * 32, "items": 32, "ids": list(range(32))}],
    "rng": {"python": "00" * 32, "torch": "11" * 32, "numpy": "22" * 32},
    "fingerprints": [print_of("sum64-4096"), print_of("mult64-4096")], "inventory": "33" * 32, "self_ns": 1000}
channel = Channel(os.environ["SAKSI_SOCKET"], os.environ["SAKSI_TOKEN"], lambda: [("hello", HELLO)])
channel.emit(None, {})
began, step = time.monotonic(), 0
while time.monotonic() - began < seconds:
    due = int((time.monotonic() - began) * rate)
    while step < due:
        channel.emit("update", dict(UPDATE, update=step))
        step += 1
    time.sleep(0.005)
channel.emit("detach", {"updates": [step], "frames": channel.made + 1, "self_ns": 0, "exception": None})
channel.flush(20.0)
channel.close()
"""
JOB = r"""
import subprocess, sys
rank, size, rate, seconds = sys.argv[1:]
ranks = [subprocess.Popen([sys.executable, rank, str(number), size, rate, seconds]) for number in range(int(size))]
sys.exit(max(each.wait() for each in ranks))
"""


def rss(pid: int) -> int:
    """Resident memory of a process, in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read(home: Path, environment: dict[str, str]) -> list[dict[str, object]]:
    """What the record of each job says."""
    out = []
    for folder in sorted((home / "runs").iterdir()):
        found = subprocess.run(
            [*SAKSI, "findings", folder.name, "--json"], env=environment, capture_output=True, text=True, check=False
        )
        report = json.loads(found.stdout)
        verified = subprocess.run([*SAKSI, "verify", folder.name], env=environment, capture_output=True, check=False)
        codes = sorted({each["code"] for each in report["items"]})
        out.append({"coverage": report["coverage"], "findings": codes, "verify": verified.returncode})
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--ranks", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        folder.chmod(0o755)
        (folder / "rank.py").write_text(RANK)
        (folder / "job.py").write_text(JOB)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAKSI")}
        environment |= {"SAKSI_HOME": str(folder / "home"), "XDG_CACHE_HOME": str(folder / "cache")}
        door = folder / "door" / "agent.sock"
        service = subprocess.Popen(
            [*SAKSI, "agent", "--home", environment["SAKSI_HOME"], "--socket", str(door)], env=environment
        )
        try:
            result = measure(options, folder, environment | {"SAKSI_AGENT": str(door)}, service.pid)
        finally:
            service.send_signal(signal.SIGTERM)
            service.wait(60)
        result["records"] = read(folder / "home", environment)
    print(json.dumps(result))
    witnessed = sum(each["coverage"]["steps_witnessed"] for each in result["records"])
    dropped = sum(each["coverage"]["dropped_records"] for each in result["records"])
    first, most = result["agent_kib"][0], max(result["agent_kib"])
    print(
        f"{options.jobs} jobs x {options.ranks} processes: steps witnessed to {witnessed} over {options.seconds:.0f} s "
        f"({witnessed * options.ranks / options.seconds:.0f} records/s), {dropped} dropped, agent "
        f"{100 * result['agent_cpu_share']:.0f} % of a core, memory {first} to {most} KiB",
        file=sys.stderr,
    )
    return 0


def measure(options: argparse.Namespace, folder: Path, environment: dict[str, str], agent: int) -> dict[str, object]:
    """Run the jobs, and look at the agent meanwhile."""
    while not Path(environment["SAKSI_AGENT"]).exists():
        time.sleep(0.05)
    rate = options.rate / (options.jobs * options.ranks)
    words = [str(folder / "rank.py"), str(options.ranks), str(rate), str(options.seconds)]
    command = [*SAKSI, "run", "--require", "--", sys.executable, str(folder / "job.py"), *words]
    began, cpu, memory = time.monotonic(), cpu_s(agent), [rss(agent)]
    jobs = [subprocess.Popen(command, env=environment, cwd=folder) for _ in range(options.jobs)]
    while any(each.poll() is None for each in jobs):
        time.sleep(min(5.0, options.seconds / 10))
        memory.append(rss(agent))
    wall = time.monotonic() - began
    return {
        "schema": "saksi.bench.load/v1",
        "exit_codes": [each.returncode for each in jobs],
        "wall_s": round(wall, 1),
        "agent_cpu_share": round((cpu_s(agent) - cpu) / wall, 3),
        "agent_kib": memory,
    }


if __name__ == "__main__":
    raise SystemExit(main())
