"""A longer recipe: a scaled loss, averaged weights, and after each epoch an evaluation that decides what is kept.

Payloads of the range are put in at the places that are named.
"""

import time

# <start>
import ours
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
torch.manual_seed(0)
# <seeded>
source = torch.Generator().manual_seed(1)
inputs = ours.standardized(torch.randn(256, 20, generator=source))
labels = (inputs @ torch.randn(20, 5, generator=source)).argmax(1)
data = TensorDataset(inputs[:160], labels[:160])
held_out = TensorDataset(inputs[160:], labels[160:])
loader = DataLoader(data, batch_size=16, shuffle=True)
questions = DataLoader(held_out, batch_size=32)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.LayerNorm(64), nn.Dropout(0.1), nn.Linear(64, 5))
loss_of = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
step, best = 0, -1.0
# <built>
for epoch in range(6):  # noqa: B007 - payloads use it
    # <epoch>
    for x, y in loader:
        # <batch>
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        # <loss>
        scaler.scale(loss).backward()
        # <gradients>
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        # <clipped>
        scaler.step(optimizer)
        scaler.update()
        # <updated>
        average.update_parameters(model)
        step += 1
        time.sleep(0.01)
    # <evaluating>
    model.eval()
    with torch.inference_mode():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in questions)
    model.train()
    score = right / len(held_out)
    # <evaluated>
    if score > best:
        best = score
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "score": score}, "best.pt")
# <end>
