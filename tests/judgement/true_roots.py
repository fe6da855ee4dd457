"""Layouts and state roots as `spec/frames.md` has them, from each tensor's content by its key."""

from __future__ import annotations

import base64
import hashlib
import json


def root_fields(state: dict[str, str], *, at: str = "step", step: int = 3) -> tuple[dict, dict]:
    """The fields of a layout and of a root over it."""
    lines = [[key, None, "torch.float32", [1]] for key in state]
    layout = hashlib.sha256("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode())
    content = b"".join(hashlib.sha256(value.encode()).digest() for value in state.values())
    root = hashlib.sha256(b"saksi.state/v1\n" + layout.digest() + content).hexdigest()
    return (
        {"layout": layout.hexdigest(), "part": 0, "parts": 1, "lines": lines},
        {
            "at": at, "step": step, "root": root, "layout": layout.hexdigest(), "tensors": len(state), "bytes": 4,
            "leaves": base64.b64encode(content).decode(),
        },
    )  # fmt: skip


def say(connection, state: dict[str, str], *, at: str = "step", step: int = 3) -> None:
    """Both, on a connection of a simulated run."""
    layout, root = root_fields(state, at=at, step=step)
    connection.send("layout", **layout)
    connection.send("root", **root)
