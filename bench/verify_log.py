"""Offline verification of a log from its bytes, and proofs from tiles with nothing cached.

    python bench/verify_log.py [--entries 1000000] [--folder FOLDER]

Target: 200,000 entries/s on one core (bundles decoded, leaves hashed, root compared with the signed one); an
inclusion proof found and checked in under 50 ms from a log of 1,000,000 entries; every changed byte found.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from saksi.edges.store.local import LocalStore
from saksi.edges.store.memory import MemoryDisk, MemoryStore
from saksi.edges.store.protocol import Store
from saksi.processes.agent.sequencer import Sequencer
from saksi.processes.agent.soundness import check_log
from saksi.proofs.projection import PUBLISHED, stored_name
from saksi.proofs.tlog.log_checkpoint import LogCheckpoint, open_log_checkpoint
from saksi.proofs.tlog.merkle import CompactRange, inclusion_proof, leaf_hash, leaf_hashes, root_of, verify_inclusion
from saksi.proofs.tlog.note import NoteSigner
from saksi.proofs.tlog.tiles import ENTRIES, TILE_WIDTH, Tile, bundles_for, decode_bundle, hash_from_tiles

ORIGIN = "saksi/run/0011223344556677"
SIGNER = NoteSigner(ORIGIN, bytes(32))


def build(store: Store, entries: int, batch: int = 8_192) -> float:
    random.seed(1)
    body = random.randbytes(300)
    log = Sequencer.open(store, ORIGIN, SIGNER)
    start = time.perf_counter()
    for first in range(0, entries, batch):
        log.append([b"%012d" % i + body[: 238 + i % 100] for i in range(first, min(first + batch, entries))])
        if first % (32 * batch) == 0:
            log.publish()
    log.publish()
    wall = time.perf_counter() - start
    log.close()
    return wall


def head_of(store: Store) -> LogCheckpoint:
    return open_log_checkpoint(store.read(PUBLISHED), [SIGNER.key])


def verify_entries(store: Store) -> None:
    """Every entry from its bundle to the signed root."""
    head = head_of(store)
    whole, rest = CompactRange(), CompactRange()
    for tile in bundles_for(head.size):
        leaves = leaf_hashes(decode_bundle(store.read(stored_name(tile)), width=tile.width))
        if tile.width == TILE_WIDTH:
            whole.append(root_of(leaves))  # a full bundle is a complete subtree
        else:
            rest.extend(leaves)
    if CompactRange(head.size, (*whole.hashes, *rest.hashes)).root() != head.root:
        raise SystemExit("the log does not verify")


def prove(store: Store, index: int) -> None:
    """What `saksi verify` does for one entry, beginning with nothing in memory."""
    head = head_of(store)
    bundle = Tile(ENTRIES, index // TILE_WIDTH, min(TILE_WIDTH, head.size - index // TILE_WIDTH * TILE_WIDTH))
    entry = decode_bundle(store.read(stored_name(bundle)), width=bundle.width)[index % TILE_WIDTH]
    read_hash = hash_from_tiles(lambda tile: store.read(stored_name(tile)), head.size)
    proof = inclusion_proof(index=index, size=head.size, read_hash=read_hash)
    verify_inclusion(index=index, size=head.size, leaf=leaf_hash(entry), proof=proof, root=head.root)


def drop_page_cache(folder: Path) -> None:
    """Ask the kernel to forget the folder's files, so that proofs come from the device."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            fd = os.open(path, os.O_RDONLY)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(fd)


def changed_bytes_found(samples: int) -> tuple[int, int]:
    """Change one byte of a sound log at random places of every file; how many of the changes `check_log` tells of."""
    disk = MemoryDisk()
    build(MemoryStore(disk), 700, 256)
    disk.objects |= {name: content for name, content in disk.unflushed.items() if content is not None}
    disk.unflushed.clear()
    rng, found, made = random.Random(2), 0, 0
    for name in [*disk.objects, "journal", "head"]:
        whole = {"journal": bytes(disk.journal), "head": disk.head}.get(name) or disk.objects[name]
        for at in rng.sample(range(len(whole)), min(samples, len(whole))):
            changed = bytearray(whole)
            changed[at] ^= rng.randint(1, 255)
            put(disk, name, bytes(changed))
            made += 1
            found += bool(check_log(MemoryStore(disk), [SIGNER.key]))
        put(disk, name, whole)
    return found, made


def put(disk: MemoryDisk, name: str, content: bytes) -> None:
    if name == "journal":
        disk.journal[:] = content
    elif name == "head":
        disk.head = content
    else:
        disk.objects[name] = content


def timed(act: Callable[..., object], *given: object) -> float:
    before = time.perf_counter()
    act(*given)
    return time.perf_counter() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="where the log is written")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix="saksi-bench-") as name:
        folder = Path(name) / "run"
        store = LocalStore(folder)
        built = build(store, asked.entries)
        verified = [timed(verify_entries, store) for _ in range(3)]
        random.seed(3)
        drop_page_cache(folder)
        cold = sorted(timed(prove, store, random.randrange(asked.entries)) for _ in range(50))
        warm = sorted(timed(prove, store, random.randrange(asked.entries)) for _ in range(500))
        reopened = timed(lambda: Sequencer.open(store, ORIGIN, SIGNER).close())
        checked = timed(lambda: check_log(store, [SIGNER.key]) and print("not sound"))
    found, made = changed_bytes_found(25)
    result = {
        "bench": "verify_log",
        "entries": asked.entries,
        "build_entries_per_second": round(asked.entries / built),
        "verify_entries_per_second": round(asked.entries / statistics.median(verified)),
        "proof_ms_cold": {"median": round(statistics.median(cold) * 1e3, 2), "worst": round(cold[-1] * 1e3, 2)},
        "proof_ms_warm": {"median": round(statistics.median(warm) * 1e3, 2), "worst": round(warm[-1] * 1e3, 2)},
        "reopen_seconds": round(reopened, 2),
        "fsck_seconds": round(checked, 2),
        "changed_bytes": {"made": made, "found": found},
    }
    print(json.dumps(result))
    print(
        f"verify a log of {asked.entries:,}: {result['verify_entries_per_second']:,} entries/s on one core, target "
        f"200,000; proof {result['proof_ms_cold']['median']} ms cold (worst {result['proof_ms_cold']['worst']}, target "
        f"50), {result['proof_ms_warm']['median']} ms warm; {found} of {made} changed bytes found; reopen "
        f"{result['reopen_seconds']} s, fsck {result['fsck_seconds']} s, build "
        f"{result['build_entries_per_second']:,} entries/s"
    )


if __name__ == "__main__":
    main()
