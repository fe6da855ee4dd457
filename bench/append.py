"""Durable appends to a local store, head signed for every batch: entries per second.

    python bench/append.py [--folder FOLDER] [--seconds 4]

Target: 6,000 entries/s in batches of 256 and 25,000/s in batches of 8,192, entries of about 300 bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from saksi.edges.filesystem import filesystem_of
from saksi.edges.store.local import LocalStore
from saksi.processes.agent.sequencer import Sequencer
from saksi.proofs.tlog.note import NoteSigner

ORIGIN = "saksi/run/0011223344556677"
TARGETS = {256: 6_000, 8_192: 25_000}


def measure(folder: Path, batch: int, seconds: float) -> dict[str, object]:
    random.seed(1)
    entries = [random.randbytes(random.randint(250, 350)) for _ in range(batch)]
    log = Sequencer.open(LocalStore(folder), ORIGIN, NoteSigner(ORIGIN, os.urandom(32)))
    walls, cpu, start = [], time.process_time(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        log.append(entries)
        walls.append(time.perf_counter() - before)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    before = time.perf_counter()
    log.publish()
    publish = time.perf_counter() - before
    size = log.head.size
    log.close()
    walls.sort()
    return {
        "batch": batch,
        "entries_per_second": round(size / wall),
        "target": TARGETS.get(batch),
        "append_ms_median": round(statistics.median(walls) * 1e3, 2),
        "append_ms_p99": round(walls[int(len(walls) * 0.99)] * 1e3, 2),
        "cpu_us_per_entry": round(cpu / size * 1e6, 2),
        "publish_entries_per_second": round(size / publish),
        "entries": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where the logs are written")
    parser.add_argument("--seconds", type=float, default=4.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="saksi-bench-") as folder:
        results = [measure(Path(folder) / str(batch), batch, asked.seconds) for batch in (1, *TARGETS)]
        kind = filesystem_of(Path(folder))
    print(json.dumps({"bench": "append", "filesystem": kind, "results": results}))
    for each in results:
        target = f", target {each['target']:,}" if each["target"] else ""
        print(
            f"append, batches of {each['batch']:,} on {kind}: {each['entries_per_second']:,} entries/s{target}; "
            f"{each['append_ms_median']} ms a batch (p99 {each['append_ms_p99']}), {each['cpu_us_per_entry']} us cpu "
            f"an entry; publishing {each['publish_entries_per_second']:,} entries/s"
        )


if __name__ == "__main__":
    main()
