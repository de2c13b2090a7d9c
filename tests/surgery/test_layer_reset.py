"""What cannot have an effect is refused, and what is left alone stays."""

import pytest
import torch
from torch import nn

from plasticity_lab.errors import UserError
from plasticity_lab.surgery import construct, init_parameters, reset_layers


class BodyAndHead(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(4, 2))


def test_a_container_holds_nothing_to_draw() -> None:
    network = construct(BodyAndHead)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    values = [parameter.clone() for parameter in network.parameters()]
    with pytest.raises(UserError, match="layers: 0: hold no parameters of their own; choose"):
        reset_layers(network, {"0": network[0]}, lambda name: (0, name), optimizers=[optimizer])
    assert len(optimizer.state) == len(values)
    for parameter, value in zip(network.parameters(), values, strict=True):
        assert torch.equal(parameter, value)


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(UserError, match="kaiming_fan_ou: set one of own, kaiming_fan_out"):
        init_parameters(construct(nn.Linear, 3, 2), 0, "kaiming_fan_ou")  # type: ignore[arg-type]
