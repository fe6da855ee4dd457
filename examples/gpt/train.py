"""Train a small character-level GPT on one text file.

An ordinary training script: AdamW, warm-up and cosine decay from the loop's own counter, dropout, gradient clipping,
evaluation on a held-out tail, model checkpoints, and `--resume`, which continues bit for bit from a checkpoint.
"""

from __future__ import annotations

import argparse
import math
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

TEXT_LIMIT = 2_000_000  # characters of the default text; enough for some epochs of a model of this size
EVAL_WINDOWS = 128  # held-out windows that one evaluation reads


# --- text ------------------------------------------------------------------------------------------------------------


def standard_library_text() -> str:
    """The source of Python's own public top-level modules, in alphabetical order: text that every machine has."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = ""
    for name in sorted(sys.stdlib_module_names):
        path = folder / f"{name}.py"
        if not name.startswith("_") and path.is_file():
            text += path.read_text(encoding="utf-8")
        if len(text) >= TEXT_LIMIT:
            break
    return text[:TEXT_LIMIT]


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """Consecutive windows of `length` characters, each with the same window shifted by one as target."""

    def __init__(self, tokens: Tensor, length: int) -> None:
        self.tokens = tokens
        self.length = length

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = index * self.length
        window = self.tokens[start : start + self.length + 1]
        return window[:-1], window[1:]


class Batches:
    """Shuffled batches, epoch after epoch, that know where they are and can go back there."""

    def __init__(self, windows: Windows, batch: int, seed: int, workers: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.loader = DataLoader(
            windows, batch_size=batch, shuffle=True, drop_last=True, generator=self.generator, num_workers=workers
        )
        self.epoch_began = self.generator.get_state()  # what the generator was when this epoch was shuffled
        self.taken = 0  # batches of this epoch already handed out

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        skip = self.taken
        while True:
            self.epoch_began = self.generator.get_state()
            for number, batch in enumerate(self.loader):
                if number >= skip:
                    self.taken = number + 1
                    yield batch
            skip = self.taken = 0

    def state_dict(self) -> dict[str, Tensor | int]:
        """Where we are: the order of this epoch, and how far into it."""
        return {"epoch_began": self.epoch_began, "taken": self.taken}

    def load_state_dict(self, state: dict[str, Tensor | int]) -> None:
        """Go to where `state` was taken; the next iteration begins there."""
        self.generator.set_state(state["epoch_began"])
        self.taken = int(state["taken"])


# --- model -----------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Each position looks at itself and those before it."""
        batch, length, width = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
        return self.project(y.transpose(1, 2).reshape(batch, length, width))


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each behind a layer norm and beside a residual path."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.norm_2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Add what attention found, then what the perceptron made of it."""
        x = x + self.dropout(self.attention(self.norm_1(x)))
        return x + self.dropout(self.perceptron(self.norm_2(x)))


class GPT(nn.Module):
    """A decoder-only transformer whose output layer shares the token embedding."""

    def __init__(self, vocabulary: int, *, length: int, width: int, layers: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.apply(self.initialise)
        self.head.weight = self.tokens.weight

    @staticmethod
    def initialise(module: nn.Module) -> None:
        """Small normal weights, zero biases."""
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character at each position."""
        positions = torch.arange(x.shape[1], device=x.device)
        x = self.dropout(self.tokens(x) + self.positions(positions))
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


# --- training --------------------------------------------------------------------------------------------------------


def loss_of(model: GPT, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def evaluate(model: GPT, windows: Windows, batch: int, device: str) -> float:
    """Mean loss over the first held-out windows. Draws no random numbers, so it never changes the training."""
    model.eval()
    count = min(EVAL_WINDOWS, len(windows))
    total = 0.0
    for start in range(0, count, batch):
        pairs = [windows[i] for i in range(start, min(start + batch, count))]
        x, y = (torch.stack(side).to(device) for side in zip(*pairs, strict=True))
        total += loss_of(model, x, y).item() * len(pairs)
    model.train()
    return total / count


def learning_rate(step: int, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up to `peak`, then a cosine down to a tenth of it."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (0.1 + 0.45 * (1 + math.cos(math.pi * progress)))


def make_optimizer(model: GPT, peak: float, weight_decay: float) -> torch.optim.AdamW:
    """Weight decay for matrices, none for biases and norms."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.95))


def save(path: Path, model: GPT, optimizer: torch.optim.Optimizer, batches: Batches, step: int) -> None:
    ckpt = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "batches": batches.state_dict(),
        "rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "step": step,
    }
    torch.save(ckpt, path)
    print(f"saved {path}", flush=True)


def load(path: Path, model: GPT, optimizer: torch.optim.Optimizer, batches: Batches) -> int:
    """Put everything back as it was when `path` was saved, and return the number of steps done by then."""
    ckpt = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(ckpt["model"])
    optimizer.load_state_dict(ckpt["optimizer"])
    batches.load_state_dict(ckpt["batches"])
    torch.set_rng_state(ckpt["rng"])
    if ckpt["cuda_rng"]:
        torch.cuda.set_rng_state_all(ckpt["cuda_rng"])
    print(f"resumed from {path} at step {ckpt['step']}", flush=True)
    return int(ckpt["step"])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, help="a UTF-8 text file; without it, the Python standard library's own source")
    add("--out", type=Path, default=Path("out/gpt"), help="folder for weights and checkpoints")
    add("--steps", type=int, default=60, help="length of the whole schedule")
    add("--stop-at", type=int, help="save a checkpoint and end at this step, to resume later")
    add("--resume", type=Path, help="checkpoint file to continue from")
    add("--batch", type=int, default=16)
    add("--length", type=int, default=64, help="characters in a window")
    add("--width", type=int, default=128)
    add("--layers", type=int, default=4)
    add("--heads", type=int, default=4)
    add("--dropout", type=float, default=0.1)
    add("--lr", type=float, default=2e-3, help="peak learning rate")
    add("--warmup", type=int, default=10, help="steps of warm-up")
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=float, default=1.0, help="largest gradient norm")
    add("--eval-every", type=int, default=20)
    add("--save-every", type=int, default=20)
    add("--seed", type=int, default=1)
    add("--threads", type=int, default=1, help="CPU threads; the same number gives the same bits")
    add("--workers", type=int, default=0, help="processes that load data")
    add("--device", default="cpu")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)

    text = args.data.read_text(encoding="utf-8") if args.data else standard_library_text()
    alphabet = sorted(set(text))
    number = {character: i for i, character in enumerate(alphabet)}
    tokens = torch.tensor([number[character] for character in text])
    split = len(tokens) * 9 // 10
    training, held_out = Windows(tokens[:split], args.length), Windows(tokens[split:], args.length)
    if len(training) < args.batch or not len(held_out):
        sys.exit(f"the text has {len(text)} characters: too few for a batch of {args.batch} windows of {args.length}")

    shape = {"length": args.length, "width": args.width, "layers": args.layers, "heads": args.heads}
    model = GPT(len(alphabet), **shape, dropout=args.dropout).to(args.device)
    optimizer = make_optimizer(model, args.lr, args.weight_decay)
    batches = Batches(training, args.batch, args.seed, args.workers)
    size = sum(p.numel() for p in model.parameters())
    print(f"{len(text):,} characters, {len(alphabet)} different; {size:,} parameters; {args.steps} steps", flush=True)

    done = load(args.resume, model, optimizer, batches) if args.resume else 0
    last = min(args.steps, args.stop_at or args.steps)
    stream = iter(batches)
    began = time.perf_counter()
    for step in range(done, last):
        lr = learning_rate(step, args.steps, args.warmup, args.lr)
        for group in optimizer.param_groups:
            group["lr"] = lr
        x, y = next(stream)
        loss = loss_of(model, x.to(args.device), y.to(args.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()

        now = step + 1
        if now % 10 == 0 or now == last:
            speed = (now - done) * args.batch * args.length / (time.perf_counter() - began)
            print(f"step {now:>5}  loss {loss:.4f}  lr {lr:.2e}  norm {norm:.3f}  {speed:,.0f} chars/s", flush=True)
        if now % args.eval_every == 0 or now == args.steps:
            print(f"step {now:>5}  held-out loss {evaluate(model, held_out, args.batch, args.device):.4f}", flush=True)
        if now % args.save_every == 0 or (now == last and last < args.steps):
            save(args.out / f"ckpt-{now:06}.pt", model, optimizer, batches, now)

    if last == args.steps:
        torch.save(model.state_dict(), args.out / "final.pt")
        print(f"saved {args.out / 'final.pt'}", flush=True)


if __name__ == "__main__":
    main()
