"""What the recorder costs: its own CPU time, and the wall time of a step with and without it.

A GPT of 10.7 million parameters (width 384, 6 layers, batch 4 x 128, AdamW, one thread), or the sizes and optimizers
that `--size` and `--optimizer` name, each of them with each. `off`, `standard` and `full`
run in turn, `--repeats` times, each as a process of its own with a reading agent beside it. Self time is what the
frames say (`self_ns`: CPU time, worker threads included) and counts state roots, which fall due every 10 Steps at first
and every 100 later; the share for a long run is worked out from both. Where another core is idle, a worker thread
hashes beside the training thread, which then waits about half as long. Ratios are medians over the repeats; absolute
times on a shared machine are not worth much.

`--device cuda` trains in bf16 on a GPU (size 350M unless `--size` says otherwise, batch 8 x 1024). Self time is then
given as a share of the plain step's wall time, which is taken over blocks of ten steps with the device waited for
around each; what the recorder adds on the device shows in the ratio of walls alone.

`--settled` lets `standard` go on to step 240: samples are thinned after the first hundred updates, if they take more
than the overhead budget leaves, and the share of the last hundred, one root among them, is what a long run pays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

RECORDER = Path(__file__).parents[1] / "src" / "saksi" / "recorder" / "path"
TOKEN = "00" * 32
TARGETS = {"cpu": {"standard": 0.03, "full": 0.15}, "cuda": {"standard": 0.01, "full": 0.15}}
SIZES = {
    "0.1M": (48, 3, 2), "1M": (144, 4, 4), "10M": (384, 6, 6), "100M": (768, 14, 12), "350M": (1152, 24, 18),
}  # fmt: skip
"""Width, layers and heads."""
SETTLED = 240
"""Steps: 100 that all give samples, windows of 32 that settle how often, and the hundred that are measured."""

SCRIPT = r"""
import json, os, sys, time
import torch
from torch import nn
from torch.nn import functional as F
torch.set_num_threads(1)
torch.manual_seed(0)
STEPS, WIDTH, LAYERS, HEADS = (int(word) for word in sys.argv[1:5])
DEVICE = sys.argv[6]
LENGTH, BATCH, VOCABULARY = (128, 4, 96) if DEVICE == "cpu" else (1024, 8, 32768)
BLOCK = 1 if DEVICE == "cpu" else 10

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)
    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (z.view(b, t, HEADS, -1).transpose(1, 2) for z in self.qkv(self.first(x)).split(WIDTH, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, WIDTH)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.second(x))))

class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
    def forward(self, x, y):
        z = self.tokens(x) + self.places(torch.arange(x.shape[1], device=x.device))
        return F.cross_entropy(self.head(self.norm(self.blocks(z))).flatten(0, 1), y.flatten())

model = GPT() if DEVICE == "cpu" else GPT().to(DEVICE, torch.bfloat16)
OPTIMIZERS = {
    "SGD": lambda held: torch.optim.SGD(held, lr=1e-3),
    "SGD-momentum": lambda held: torch.optim.SGD(held, lr=1e-3, momentum=0.9),
    "AdamW-fused": lambda held: torch.optim.AdamW(held, lr=1e-3, fused=True),
    "Muon": lambda held: torch.optim.Muon([p for p in held if p.ndim == 2], lr=1e-3),  # it takes matrices alone
}
build = OPTIMIZERS.get(sys.argv[5], lambda held: getattr(torch.optim, sys.argv[5])(held, lr=1e-3))
optimizer = build(model.parameters())
wall, cpu = [], []
for step in range(STEPS):
    x = torch.randint(VOCABULARY, (BATCH, LENGTH), device=DEVICE)
    if step % BLOCK == 0:
        if DEVICE != "cpu":
            torch.cuda.synchronize()
        w = time.perf_counter()
    c = time.thread_time()
    loss = model(x, x)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    cpu.append(time.thread_time() - c)
    if (step + 1) % BLOCK == 0:
        if DEVICE != "cpu":
            torch.cuda.synchronize()
        wall.append((time.perf_counter() - w) / BLOCK)
parameters = list(model.parameters())
count = sum(p.numel() for p in parameters)
print(json.dumps({"wall": wall, "cpu": cpu, "parameters": count, "tensors": len(parameters)}))
"""


def listen(path: str) -> list[bytes]:
    """Collect what one job sends, on a thread."""
    packets: list[bytes] = []
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(path)
    server.listen(4)

    def read() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                while packet := connection.recv(1 << 17):
                    packets.append(packet)

    threading.Thread(target=read, daemon=True).start()
    return packets


def once(options: argparse.Namespace, level: str, size: str, optimizer: str) -> dict[str, object]:
    """One run at one level: the script's times and the frames."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SAKSI_")} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        packets = listen(folder + "/agent")
        if level != "off":
            env |= {
                "PYTHONPATH": str(RECORDER),
                "SAKSI_SOCKET": folder + "/agent",
                "SAKSI_TOKEN": TOKEN,
                "SAKSI_LEVEL": level,
            }
        steps = SETTLED if options.settled and level == "standard" else options.steps
        words = [str(word) for word in (steps, *SIZES[size], optimizer, options.device)]
        command = [options.python, "-c", SCRIPT, *words]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        time.sleep(0.2)
        frames = [json.loads(packet) for packet in packets[1:]]
    return {**json.loads(done.stdout), "frames": frames}


def measured(run: dict[str, object], *, skip: int = 2) -> dict[str, float]:
    """Median step and median self time of one run, in milliseconds; roots apart."""
    wall, cpu, frames = run["wall"], run["cpu"], run["frames"]
    updates = [frame for frame in frames if frame["kind"] == "update"]
    rooted = {frame["step"] for frame in frames if frame["kind"] == "root" and frame["at"] == "step"}
    # How long training waited for a root: worker threads hash beside it where there are idle cores.
    said = {frame["update"]: frame["mono_ns"] for frame in updates}
    stalls = [
        (frame["mono_ns"] - said[frame["step"]]) / 1e6
        for frame in frames
        if frame["kind"] == "root" and frame["at"] == "step"
    ]
    # The root taken as Step k returns is counted by the frame of Step k + 1.
    plain = [u["self_ns"] / 1e6 for u in updates[skip:100] if u["update"] - 1 not in rooted]
    after_root = [u["self_ns"] / 1e6 for u in updates[skip:100] if u["update"] - 1 in rooted]
    return {
        "wall_ms": statistics.median(wall[skip:]) * 1e3,
        "cpu_ms": statistics.median(cpu[skip:]) * 1e3,
        "plain_ms": statistics.median(plain) if plain else 0.0,
        "rooted_ms": statistics.median(after_root) if after_root else 0.0,
        "stall_ms": statistics.median(stalls) if stalls else 0.0,
        "settled_ms": statistics.mean(u["self_ns"] / 1e6 for u in updates[-100:]) if len(updates) >= SETTLED else 0.0,
        "thinned_to": float(max((u.get("thinned", 0) for u in updates[-100:]), default=0)),
    }


def shares(level: str, seen: dict[str, float], step_ms: float) -> dict[str, float]:
    """Self time as a share of an unrecorded step: in the first hundred Steps, and in a long run."""
    if level == "full":
        return {"first_hundred": seen["rooted_ms"] / step_ms, "long_run": seen["rooted_ms"] / step_ms}
    root = max(0.0, seen["rooted_ms"] - seen["plain_ms"])
    settled = {"settled": seen["settled_ms"] / step_ms} if seen["settled_ms"] else {}
    return {
        **settled,
        "first_hundred": (seen["plain_ms"] + root / 10) / step_ms,
        "long_run": (seen["plain_ms"] + root / 100) / step_ms,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, help="24; on a device 60")
    parser.add_argument("--device", choices=TARGETS, default="cpu")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--size", nargs="+", choices=SIZES, help="10M; on a device 350M")
    parser.add_argument(
        "--optimizer", nargs="+", default=["AdamW"], help="a name in torch.optim, or SGD-momentum, AdamW-fused"
    )
    parser.add_argument("--settled", action="store_true", help="standard goes on until samples are thinned")
    options = parser.parse_args()
    on_device = options.device != "cpu"
    if on_device and not has_cuda(options.python):
        print("no CUDA device: nothing was measured", file=sys.stderr)
        return 1
    options.size = options.size or ["350M" if on_device else "10M"]
    options.steps = options.steps or (60 if on_device else 24)
    for size in options.size:
        for optimizer in options.optimizer:
            print(json.dumps(compared(options, size, optimizer)), flush=True)
    return 0


def has_cuda(python: str) -> bool:
    """Whether torch finds one under that interpreter."""
    asked = "import torch; raise SystemExit(not torch.cuda.is_available())"
    return subprocess.run([python, "-c", asked], capture_output=True, check=False).returncode == 0


def compared(options: argparse.Namespace, size: str, optimizer: str) -> dict[str, object]:
    """The three levels of one size with one optimizer, in turn."""
    found: dict[str, list[dict[str, float]]] = {"off": [], "standard": [], "full": []}
    about: dict[str, object] = {}
    for number in range(options.repeats):
        for level, rows in found.items():
            what = f"{size}, {optimizer}, repeat {number + 1} of {options.repeats}: {level}"
            print(what, file=sys.stderr, flush=True)
            run = once(options, level, size, optimizer)
            about = {"parameters": run["parameters"], "tensors": run["tensors"]}
            rows.append(measured(run))
    basis = "cpu_ms" if options.device == "cpu" else "wall_ms"
    step = statistics.median(one[basis] for one in found["off"])
    result: dict[str, object] = {"schema": "saksi.bench.recorder_cost/v1", "optimizer": optimizer, **about}
    result["step_" + basis] = round(step, 1)
    for level in ("standard", "full"):
        each = [shares(level, seen, off[basis]) for seen, off in zip(found[level], found["off"], strict=True)]
        ratios = [seen["wall_ms"] / off["wall_ms"] for seen, off in zip(found[level], found["off"], strict=True)]
        row = {name: round(statistics.median(one[name] for one in each), 4) for name in each[0]}
        row["wall_ratio"] = round(statistics.median(ratios), 3)
        row["self_ms"] = round(statistics.median(s["plain_ms"] or s["rooted_ms"] for s in found[level]), 2)
        row["root_ms"] = round(statistics.median(s["rooted_ms"] for s in found[level]), 2)
        row["root_wall_ms"] = round(statistics.median(s["stall_ms"] for s in found[level]), 2)
        row["thinned_to"] = max(s["thinned_to"] for s in found[level])
        row["target"] = target = TARGETS[options.device][level]
        result[level] = row
        print(
            f"{level}: {100 * row['long_run']:.2f} % of a step in a long run, "
            f"{100 * row['first_hundred']:.2f} % in the first hundred (target {100 * target:.0f} %); "
            + (f"settled {100 * row['settled']:.2f} %; " if "settled" in row else "")
            + f"waits {row['root_wall_ms']} ms for a root; wall ratio {row['wall_ratio']}; "
            f"step {step:.0f} ms {basis[:-3]}",
            file=sys.stderr,
        )
    return result


if __name__ == "__main__":
    raise SystemExit(main())
