"""One small training with the optimizer that is named on the command line."""

import sys

import torch
from outcome import begin, each, end
from torch import nn

STEPS = 12


class Signed(torch.optim.Optimizer):
    """A user's own optimizer, with state."""

    def __init__(self, params, lr=1e-2):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    state["average"] = state.get("average", torch.zeros_like(p)) * 0.9 + p.grad
                    p.add_(state["average"].sign(), alpha=-group["lr"])


class Shared(Signed):
    """Keeps something that belongs to no parameter."""

    def step(self, closure=None):
        super().step(closure)
        self.state["shared"]["steps"] = self.state["shared"].get("steps", 0) + 1


class Wrapping(torch.optim.Optimizer):
    """Calls another optimizer's step inside its own, as gradient-modifying wrappers do."""

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.param_groups, {})

    def step(self, closure=None):
        return self.inner.step(closure)


class Derived(torch.optim.AdamW):
    """Adds to torch's own step."""

    def step(self, closure=None):
        loss = super().step(closure)
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.clamp_(-1, 1)
        return loss


class Unwrapped(torch.optim.SGD):
    """Bypasses torch's step wrapper: no hook is ever called."""

    def _patch_step_function(self):
        self._zero_grad_profile_name = "zero_grad"


def bare_step(optimizer):
    """The function behind torch's wrapper."""
    return type(optimizer).step.__wrapped__


class NotAnOptimizer:
    """Updates by hand; torch knows nothing of it."""

    def __init__(self, params, lr):
        self.params, self.lr = list(params), lr

    @torch.no_grad()
    def step(self):
        for p in self.params:
            p.sub_(p.grad, alpha=self.lr)

    def zero_grad(self):
        for p in self.params:
            p.grad = None

    def state_dict(self):
        return {}


class ThroughData(NotAnOptimizer):
    """The same through `.data`, which moves no version counter."""

    def step(self):
        for p in self.params:
            p.data.add_(p.grad.data, alpha=-self.lr)


def build(name, model):
    params = model.parameters()
    matrices = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    own = {
        "signed": lambda: Signed(params),
        "shared": lambda: Shared(params),
        "wrapping": lambda: Wrapping(torch.optim.AdamW(params, lr=1e-2)),
        "derived": lambda: Derived(params, lr=1e-2),
        "unwrapped": lambda: Unwrapped(params, lr=1e-2),
        "bare_step": lambda: torch.optim.SGD(params, lr=1e-2),
        "by_hand": lambda: NotAnOptimizer(params, 1e-2),
        "through_data": lambda: ThroughData(params, 1e-2),
        "LBFGS": lambda: torch.optim.LBFGS(params, lr=0.1, max_iter=4),
        "SGD": lambda: torch.optim.SGD(params, lr=1e-2, momentum=0.9, nesterov=True),
        "AdamW-tensor-lr": lambda: torch.optim.AdamW(params, lr=torch.tensor(1e-2), amsgrad=True),
        "Adam-decoupled": lambda: torch.optim.Adam(params, lr=1e-2, capturable=False, differentiable=False),
        "Muon": lambda: torch.optim.Muon(matrices, lr=1e-2),
    }
    first = own[name]() if name in own else getattr(torch.optim, name)(params)
    return [first, torch.optim.AdamW(others)] if name == "Muon" else [first]


def main(name):
    begin()
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.LayerNorm(16), nn.Linear(16, 3))
    optimizers = build(name, model)
    for _ in range(STEPS):
        x, y = torch.randn(8, 6), torch.randint(3, (8,))

        def closure(x=x, y=y):
            for one in optimizers:
                one.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            return loss

        if name == "LBFGS":
            optimizers[0].step(closure)
            continue
        closure()
        for one in optimizers:
            if name == "bare_step":
                bare_step(one)(one)
            else:
                one.step()
    end(model, [one.state_dict() for one in optimizers], label=name)


if __name__ == "__main__":
    each(sys.argv[1:], main)
