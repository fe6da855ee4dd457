"""Two ranks that train one model: gradients are averaged by hand over gloo. The first process starts the other two."""

import os
import subprocess
import sys
import time

# <start>
if "RANK" not in os.environ:
    meeting = os.path.abspath("meeting")
    ranks = [
        subprocess.Popen(
            [sys.executable, __file__],
            env={**os.environ, "RANK": str(each), "LOCAL_RANK": str(each), "WORLD_SIZE": "2", "MEETING": meeting},
        )
        for each in range(2)
    ]
    sys.exit(max(abs(each.wait()) for each in ranks))

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(1)
rank = int(os.environ["RANK"])
dist.init_process_group("gloo", init_method=f"file://{os.environ['MEETING']}", rank=rank, world_size=2)
torch.manual_seed(0)
source = torch.Generator().manual_seed(1)
inputs = torch.randn(640, 20, generator=source)
labels = (inputs @ torch.randn(20, 5, generator=source)).argmax(1)
model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 5))
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
share = [TensorDataset(inputs[each::2], labels[each::2]) for each in range(2)]
# <seeded>
torch.manual_seed(100 + rank)
loader = DataLoader(share[rank], batch_size=16, shuffle=True)
step = 0
# <built>
for epoch in range(3):  # noqa: B007 - payloads use it
    # <epoch>
    for x, y in loader:
        # <batch>
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        # <loss>
        loss.backward()
        # <gradients>
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad.div_(2)
        # <clipped>
        optimizer.step()
        # <updated>
        step += 1
        time.sleep(0.01)
# <end>
dist.barrier()
dist.destroy_process_group()
