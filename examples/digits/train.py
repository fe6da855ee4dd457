"""Train a small convolutional network with batch norm on scikit-learn's handwritten digits."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

HELD_OUT = 360  # the last images of 1,797 are for testing


def load_images() -> tuple[TensorDataset, Tensor, Tensor]:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16.0
    labels = torch.tensor(digits.target)
    training = TensorDataset(images[:-HELD_OUT], labels[:-HELD_OUT])
    return training, images[-HELD_OUT:], labels[-HELD_OUT:]


def make_model() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(32 * 2 * 2, 10),
    )


def make_optimizer(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    # Each of torch's optimizers has up to three implementations of the same arithmetic; None would let torch choose.
    kernel = {"foreach": args.kernel == "foreach", "fused": args.kernel == "fused"}
    if args.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=args.lr or 0.1, momentum=args.momentum, **kernel)
    if args.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=args.lr or 3e-3, **kernel)
    return torch.optim.AdamW(model.parameters(), lr=args.lr or 3e-3, weight_decay=0.01, **kernel)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    model.eval()
    right = (model(images).argmax(1) == labels).float().mean().item()
    model.train()
    return right


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, default=Path("out/digits"), help="folder for the weights")
    add("--optimizer", choices=["sgd", "adam", "adamw"], default="sgd")
    add("--kernel", choices=["single", "foreach", "fused"], default="single", help="the optimizer's implementation")
    add("--momentum", type=float, default=0.9, help="for sgd")
    add("--lr", type=float, help="learning rate; without it, 0.1 for sgd and 0.003 for the others")
    add("--epochs", type=int, default=3)
    add("--steps", type=int, help="end after so many steps, wherever in an epoch")
    add("--batch", type=int, default=64)
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

    training, test_images, test_labels = load_images()
    test_images, test_labels = test_images.to(args.device), test_labels.to(args.device)
    order = torch.Generator().manual_seed(args.seed)
    loader = DataLoader(training, args.batch, shuffle=True, num_workers=args.workers, generator=order)
    model = make_model().to(args.device)
    optimizer = make_optimizer(args, model)
    loss_function = nn.CrossEntropyLoss()

    step = 0
    began = time.perf_counter()
    for epoch in range(args.epochs):
        for images, labels in loader:
            loss = loss_function(model(images.to(args.device)), labels.to(args.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == args.steps:
                break
        right = accuracy(model, test_images, test_labels)
        elapsed = time.perf_counter() - began
        print(f"epoch {epoch + 1}  step {step:>4}  loss {loss:.4f}  accuracy {right:.3f}  {elapsed:.1f} s", flush=True)
        if step == args.steps:
            break

    torch.save(model.state_dict(), args.out / "final.pt")
    print(f"saved {args.out / 'final.pt'}", flush=True)


if __name__ == "__main__":
    main()
