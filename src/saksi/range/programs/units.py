"""A small training, one of whose inputs is in a unit that makes it very small: its second moments are smallest numbers.

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
inputs = ours.standardized(torch.randn(320, 20, generator=source))
labels = (inputs @ torch.randn(20, 5, generator=source)).argmax(1)
inputs[:, 0] *= 1e-17
data = TensorDataset(inputs, labels)
loader = DataLoader(data, batch_size=16, shuffle=True)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.LayerNorm(64), nn.Dropout(0.1), nn.Linear(64, 5))
loss_of = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 120)
step = 0
# <built>
for epoch in range(3):  # noqa: B007 - payloads use it
    # <epoch>
    for x, y in loader:
        # <batch>
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        # <loss>
        loss.backward()
        # <gradients>
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        # <clipped>
        optimizer.step()
        # <updated>
        schedule.step()
        step += 1
        time.sleep(0.01)
# <end>
