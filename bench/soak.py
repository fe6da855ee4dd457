"""Hostile peers beside an honest training for half an hour: the agent alive, its memory flat, nothing alleged falsely.

    python bench/soak.py [--minutes 30] [--seed 1]

One `saksi run`. Its command starts one honest rank (the recorder's own channel, 20 updates a second) and, one after the
other, processes that speak to the agent with every kind of hostility that `tests/fuzz` knows. At the end the record is
read as anybody would: every update of the honest rank witnessed, no finding that is about it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import RANK, SAKSI, cpu_s, read, rss

from saksi.edges.runs import open_run
from saksi.judgement.items import read_items
from saksi.words.frames import DetachFrame, UpdateFrame
from saksi.words.records import AttachRecord, BlockRecord

PEER = Path(__file__).resolve().parents[1] / "tests" / "fuzz" / "hostile_peer.py"
PACKETS = 2_000
RATE = 20
"""Updates a second of the honest rank."""

JOB = r"""
import itertools, os, subprocess, sys, time
rank, peer, packets, seconds, seed, rate = sys.argv[1:]
sys.path.insert(0, os.path.dirname(os.path.dirname(peer)))
from fuzz.hostile_packets import HOSTILITIES
honest = subprocess.Popen([sys.executable, rank, "0", "1", rate, seconds])
with open("honest.pid", "w") as file:
    file.write(str(honest.pid))
for number, hostility in enumerate(itertools.cycle(sorted(HOSTILITIES))):
    if honest.poll() is not None:
        break
    words = [os.environ["SAKSI_SOCKET"], os.environ["SAKSI_TOKEN"], hostility, str(int(seed) + number), packets]
    subprocess.run([sys.executable, peer, *words], check=True)
print(number, "hostile processes", flush=True)
sys.exit(honest.wait())
"""


def about(home: Path, folder: Path, environment: dict[str, str]) -> dict[str, object]:
    """What the record says of the honest rank: its updates, and findings of which an entry of its own is evidence.

    Whoever has the token speaks as a process of the job, so hostile ones are told of too, each for itself.
    """
    run = open_run(next((home / "runs").iterdir()))
    pid = int((folder / "honest.pid").read_text())
    connections, entries, updates, made = set(), set(), 0, None
    for item in read_items(run.entries, run.blob):
        record = item.record
        if isinstance(record, AttachRecord) and record.peer.pid == pid:
            connections.add(record.connection)
        if isinstance(record, AttachRecord | BlockRecord) and record.connection in connections:
            entries.add(item.index)
        if isinstance(record, BlockRecord) and record.connection in connections:
            updates += sum(isinstance(line.frame, UpdateFrame) for line in item.lines)
            made = next((line.frame.updates[0] for line in item.lines if isinstance(line.frame, DetachFrame)), made)
    said = subprocess.run([*SAKSI, "findings", "last", "--json"], env=environment, capture_output=True, check=False)
    items = json.loads(said.stdout)["items"]
    codes = sorted({each["code"] for each in items if entries & set(each["evidence"])})
    return {"updates": updates, "made": made, "findings": codes}


def agent_of(home: Path) -> int:
    """The process id in the lock of the one run."""
    while True:
        for lock in (home / "runs").glob("*/lock"):
            if (text := lock.read_text().strip()).isdigit():
                return int(text)
        time.sleep(0.05)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)
        (folder / "rank.py").write_text(RANK)
        (folder / "job.py").write_text(JOB)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAKSI")}
        environment |= {"SAKSI_HOME": str(folder / "home"), "SAKSI_AGENT": "embedded"}
        words = ["rank.py", str(PEER), str(PACKETS), str(60 * options.minutes), str(options.seed), str(RATE)]
        job = subprocess.Popen([*SAKSI, "run", "--", sys.executable, "job.py", *words], env=environment, cwd=folder)
        agent, memory, began = agent_of(folder / "home"), [], time.monotonic()
        used = 0.0
        while job.poll() is None:
            if Path(f"/proc/{agent}/status").exists():
                memory.append((time.monotonic() - began, rss(agent)))
                used = cpu_s(agent)
            time.sleep(min(10.0, 3 * options.minutes))
        wall = time.monotonic() - began
        (record,) = read(folder / "home", environment)
        honest = about(folder / "home", folder, environment)
    under_way = [kib for at, kib in memory if at < 60 * options.minutes]
    half = len(under_way) // 2
    result = {
        "schema": "saksi.bench.soak/v1",
        "exit_code": job.returncode,
        "agent_restarted": agent_was_restarted(record),
        "agent_cpu_share": round(used / wall, 3),
        "kib_at_half_time": max(under_way[:half], default=0),
        "kib_before_the_end": max(under_way[half:], default=0),
        "kib_with_closing": max((kib for _, kib in memory), default=0),  # it judges the whole record to close
        "kib_over_time": under_way[:: max(1, len(under_way) // 30)],
        "honest": honest,
        "findings": record["findings"],
        "verify": record["verify"],
    }
    print(json.dumps(result))
    return 0


def agent_was_restarted(record: dict[str, object]) -> bool:
    """Whether the record has a stretch without a witness."""
    return "coverage.gap" in record["findings"]


if __name__ == "__main__":
    raise SystemExit(main())
