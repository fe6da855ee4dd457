"""Launches for the doctor without `saksi run`: real training, the real recorder, and an agent that only listens.

A Python that has torch and the recorder already forks for each launch, so that one costs a fraction of a second. What
the agent would have read of files from outside is read here.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from doors.cli.cli_home import SealedRun
from recorder.listener import Listener, environment
from saksi.judgement.doctor.judge import Launches, doctor_of, save_to_resume
from saksi.judgement.doctor.launched import read_launch
from saksi.judgement.items import read_items
from saksi.words.codec import decode_frame
from saksi.words.frames import CkptFrame, HelloFrame
from saksi.words.records import AttachRecord, Peer
from simulated_run import hex64

PROCESS = Path(__file__).with_name("ward_process.py")


class Ward:
    """Where launches are made. `done` are those of a command up to the kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listener = Listener(folder / "s")
        variables = environment(folder / "s", SAKSI_LEVEL="full", GOMP_SPINCOUNT="0", OMP_WAIT_POLICY="PASSIVE")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([sys.executable, str(PROCESS)], env=variables, **pipes)
        assert self._process.stdout.readline() == "ready\n"
        self._number = 0
        self.done = {}

    def end(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)
        self._listener.close()

    def launch(self, folder: Path, words: list[str], ends: str, *, ranks: int = 1):
        """One launch of the script in `folder`; as many processes as there are ranks."""
        self._number += 1
        notes, known = folder / f"notes{self._number}", len(self._listener.connections)
        given = dict(word.split("=", 1) for word in words)
        loaded = Path(given["resume"]) if "resume" in given else None
        digest = None if loaded is None else sha256(loaded)
        words = [*words, f"store={folder}/store{self._number}"]
        asked = {"words": words, "folder": str(folder), "doctor": f"{ends}:{notes}", "ranks": ranks}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        self._settle(known, ranks)
        connections = [each for each in self._listener.connections[known:] if len(each) > 1]
        run = self._record(connections, loaded, digest)
        contents = tuple(each.read_bytes() for each in sorted(folder.glob(f"{notes.name}.*")))
        said = (folder / "errors").read_text()[-2000:]
        return read_launch(
            run.run, lambda: read_items(run.entries, run.blob), contents, ending=f"{codes}: {said}", code=codes[0]
        )

    def _settle(self, known: int, ranks: int) -> None:
        until = time.monotonic() + 10
        while time.monotonic() < until and (
            len(self._listener._threads) < known + ranks
            or any(each.is_alive() for each in self._listener._threads[known:])
        ):
            time.sleep(0.01)

    def _record(self, connections: list[list[bytes]], loaded: Path | None, digest: str | None) -> SealedRun:
        run = SealedRun(hex64(f"{self._number}")[:16])
        for number, (_, *packets) in enumerate(connections):
            frames = [decode_frame(each) for each in packets]
            hello = next(each for each in frames if isinstance(each, HelloFrame))
            peer = Peer(pid=hello.pid, uid=1000, gid=1000)
            run.add(AttachRecord(**run.stamp(), connection=number, peer=peer, rank=hello.rank,
                                 claimed=msgspec.Raw(packets[0])))  # fmt: skip
            connection = type("Connection", (), {"number": number, "rank": hello.rank})
            if loaded is not None:
                run.file(path=str(loaded), digest=digest, action="loaded", step=-1, connection=number, rank=hello.rank)
            run.block(connection, packets)
            for each in frames:
                if isinstance(each, CkptFrame) and each.action == "saved":
                    run.file(path=each.path, digest=each.digest, step=each.step, connection=number, rank=hello.rank)
        return run


def examine(ward: Ward, folder: Path, words: list[str], resumed: list[str], *, steps=4, ranks=1, threaded=None):
    """What `saksi doctor` does, in the same order: the words of the command, and those that it is resumed with.

    What two tests do alike up to the kill is done once.
    """
    key = (*words, steps, ranks)
    if key not in ward.done:
        folders = fresh(folder / "first"), fresh(folder / "killed")
        ward.done[key] = until_killed(ward, folders, words, steps=steps, ranks=ranks)
    first, killed = ward.done[key]
    _, path = save_to_resume(killed)
    again = ward.launch(
        fresh(folder / "again"), [*words, *resumed, f"resume={path}"], f"{steps}:0:{steps}", ranks=ranks
    )
    assert again.courses, again.ending
    other = None
    if threaded is not None:
        other = ward.launch(fresh(folder / "other"), [*words, *threaded], f"{steps}:0:{steps}")
    return doctor_of(Launches(("python",), ("resume",), first, killed, again, other))


def until_killed(ward, folders, words, *, steps, ranks):
    first = ward.launch(folders[0], words, f"{2 * steps}:{steps + 1}:100", ranks=ranks)
    assert first.courses, first.ending
    kill = max(steps, min(each.step for each in first.saves) + 2)
    return first, ward.launch(folders[1], words, f"{kill}:0:{kill}", ranks=ranks)


def fresh(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def sha256(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
