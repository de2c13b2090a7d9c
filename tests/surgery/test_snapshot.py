"""States of optimizers, on whatever device."""

import torch
from torch import nn

from plasticity_lab.surgery import restore, snapshot


def test_the_moments_of_a_scalar_return_to_its_device_and_its_count_to_the_cpu() -> None:
    scale = nn.ParameterDict({"scale": nn.Parameter(torch.tensor(1.0))})
    optimizer = torch.optim.Adam(scale.parameters())
    scale["scale"].grad = torch.tensor(2.0)
    optimizer.step()
    saved = snapshot({"": scale}, [optimizer])
    elsewhere = nn.ParameterDict({"scale": nn.Parameter(torch.ones((), device="meta"))})
    other = torch.optim.Adam(elsewhere.parameters())
    restore(saved, {"": elsewhere}, [other], optimizer_state=True)
    devices = {name: value.device.type for name, value in other.state[elsewhere["scale"]].items()}
    assert devices == {"step": "cpu", "exp_avg": "meta", "exp_avg_sq": "meta"}


def test_a_rate_that_is_a_tensor_is_copied() -> None:
    network = nn.Linear(2, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=torch.tensor(0.1))
    saved = snapshot({"": network}, [optimizer])
    for _ in range(2):
        optimizer.param_groups[0]["lr"].fill_(0.01)
        restore(saved, {"": network}, [optimizer], learning_rate=True)
        assert float(optimizer.param_groups[0]["lr"]) == torch.tensor(0.1)
