"""The same training with the optimizer that is named on the command line."""

import sys
import time

import torch
from torch import nn

MADE = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.05),
    "momentum": lambda params: torch.optim.SGD(params, lr=0.02, momentum=0.9, weight_decay=1e-4),
    "nesterov": lambda params: torch.optim.SGD(params, lr=0.02, momentum=0.9, nesterov=True),
    "adam": lambda params: torch.optim.Adam(params, lr=5e-3, weight_decay=1e-4),
    "adamw": lambda params: torch.optim.AdamW(params, lr=5e-3),
    "foreach": lambda params: torch.optim.AdamW(params, lr=5e-3, foreach=True),
    "fused": lambda params: torch.optim.AdamW(params, lr=5e-3, fused=True),
    "amsgrad": lambda params: torch.optim.Adam(params, lr=5e-3, amsgrad=True),
    "maximize": lambda params: torch.optim.AdamW(params, lr=1e-3, maximize=True),
    "adagrad": lambda params: torch.optim.Adagrad(params, lr=0.02),
    "rmsprop": lambda params: torch.optim.RMSprop(params, lr=2e-3, momentum=0.5),
    "nadam": lambda params: torch.optim.NAdam(params, lr=5e-3),
    "radam": lambda params: torch.optim.RAdam(params, lr=5e-3),
    "adamax": lambda params: torch.optim.Adamax(params, lr=5e-3),
    "lbfgs": lambda params: torch.optim.LBFGS(params, lr=0.1, max_iter=4),
    "tensor-rate": lambda params: torch.optim.AdamW(params, lr=torch.tensor(5e-3)),
}

torch.set_num_threads(1)
torch.manual_seed(0)
name = sys.argv[1]
teacher = torch.randn(20, 5)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.LayerNorm(64), nn.Linear(64, 5))
optimizer = MADE[name](model.parameters())
for _ in range(40):
    x = torch.randn(16, 20)
    y = (x @ teacher).argmax(1)

    def closure(x=x, y=y):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss.neg() if name == "maximize" else loss).backward()
        return loss

    if name == "lbfgs":
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()
    time.sleep(0.01)
