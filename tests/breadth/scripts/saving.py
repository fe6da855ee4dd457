"""Model checkpoints in each of the ways that are named on the command line: saved, loaded, and trained on."""

import sys
import threading
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from outcome import begin, each, end
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn


def through_safetensors(model, folder):
    save_file(model.state_dict(), folder / "model.safetensors")
    model.load_state_dict(load_file(folder / "model.safetensors"))
    save_model(model, str(folder / "whole.safetensors"))
    load_model(model, str(folder / "whole.safetensors"))


def through_dcp(model, folder):
    state = model.state_dict()
    dcp.save(state, checkpoint_id=str(folder / "dcp"))
    dcp.load(state, checkpoint_id=str(folder / "dcp"))
    model.load_state_dict(state)


def in_a_thread(model, folder):
    saving = threading.Thread(target=torch.save, args=(model.state_dict(), folder / "model.pt"))
    saving.start()
    saving.join()


def through_torch(model, folder):
    torch.save(model.state_dict(), folder / "model.pt")
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True))


def through_mmap(model, folder):
    torch.save(model.state_dict(), folder / "model.pt")
    model.load_state_dict(torch.load(folder / "model.pt", weights_only=True, mmap=True))


def through_a_stream(model, folder):
    with (folder / "model.pt").open("wb") as stream:
        torch.save(model.state_dict(), stream)
    with (folder / "model.pt").open("rb") as stream:
        model.load_state_dict(torch.load(stream, weights_only=True))


def main(way):
    begin()
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    optimizer = torch.optim.AdamW(model.parameters())
    for step in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(8, 6)), torch.randint(3, (8,))).backward()
        optimizer.step()
        if step in (4, 9):
            folder = Path(sys.argv[1]) / way / str(step)  # a file that is soon written again may be read by nobody
            folder.mkdir(parents=True)
            (in_a_thread if way == "in_a_thread" else globals()["through_" + way])(model, folder)
    end(model, optimizer, label=way)


if __name__ == "__main__":
    each(sys.argv[2:], main)
