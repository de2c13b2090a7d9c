"""Buffers are the same tensors with the same values after whatever was done to them."""

import pytest
import torch
from torch import Tensor, nn

from plasticity_lab.measurements import preserve_state
from plasticity_lab.surgery.construction import run_blank
from plasticity_lab.surgery.preserve_buffers import preserve_buffers


class Counting(nn.Module):
    """Counts its passes in place, by assigning a new buffer, and by filling one that is None."""

    in_place: Tensor
    assigned: Tensor
    filled: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)
        self.register_buffer("in_place", torch.zeros(()))
        self.register_buffer("assigned", torch.zeros(()))
        self.register_buffer("filled", None)

    def forward(self, inputs: Tensor) -> Tensor:
        self.in_place += 1
        self.assigned = self.assigned + 1
        self.filled = inputs.mean()
        outputs: Tensor = self.norm(inputs)
        return outputs


@pytest.mark.parametrize("way", ["preserve_buffers", "preserve_state", "run_blank", "failing"])
def test_buffers_are_as_they_were(way: str) -> None:
    network = Counting()
    network(torch.randn(4, 1, 2, 2))
    network.filled = None
    values = {name: buffer.clone() for name, buffer in network.named_buffers()}
    tensors = dict(network.named_buffers())
    if way == "run_blank":
        run_blank(network, (1, 2, 2))
    elif way == "failing":
        with pytest.raises(ValueError, match="expected 4D"), preserve_buffers(network):
            network(torch.randn(4, 1))
    else:
        with preserve_buffers(network) if way == "preserve_buffers" else preserve_state(network):
            network.train()(torch.randn(4, 1, 2, 2))
    assert network.filled is None
    for name, buffer in network.named_buffers():
        assert buffer is tensors[name], name
        assert torch.equal(buffer, values[name]), name
