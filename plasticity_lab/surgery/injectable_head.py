"""A head that can be given fresh weights without changing what it computes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.construction import tensors_of
from plasticity_lab.surgery.fresh_copy import copy_network


class InjectableHead(nn.Module):
    """A head h, and two copies of it that add and subtract the same until one is trained.

    Before the injection it computes h(x), and h is trained. From then on it computes
    h(x) + h'(x) - h''(x), of which h' alone is trained (Nikishin et al. 2023,
    https://arxiv.org/abs/2305.15555). Running statistics of all three follow the data.

    Args:
        head: h, from one tensor to one tensor, which draws no random numbers.

    Examples:
        >>> head = InjectableHead(nn.Linear(3, 2))
        >>> [name for name, value in head.named_parameters() if value.requires_grad]
        ['base.weight', 'base.bias']
    """

    injected: Tensor

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.base = head
        self.trained, self.subtracted = copy_network(head), copy_network(head)
        self.register_buffer("injected", torch.tensor(False))
        self.choose_trained()

    def choose_trained(self) -> None:
        """Let the part require gradients that is trained now, and no other."""
        injected = bool(self.injected)
        self.base.requires_grad_(not injected)
        self.trained.requires_grad_(injected)
        self.subtracted.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """As the head."""
        outputs: Tensor = self.base(x)
        if not self.injected:
            return outputs
        # In this order, since the copies cancel each other to the bit while they are equal.
        added: Tensor = self.trained(x) - self.subtracted(x)
        return outputs + added

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.choose_trained()


@torch.no_grad()
def inject_head(head: InjectableHead, fresh: Mapping[str, Tensor]) -> None:
    """Begin h(x) + h'(x) - h''(x), in place, with fresh values of h' and h''.

    Nikishin et al. 2023, https://arxiv.org/abs/2305.15555. What the head computes stays the same to
    the bit, in training too: batch norm normalises h' and h'' by the same statistics. If h is one
    linear layer, h' is trained as h would have been: the injection has no effect.

    Changes: parameters and buffers of h' and h''; h' alone requires gradients from then on. Keeps:
    h; optimizer state, of which that of the head's parameters should be reset.

    Args:
        head: not injected yet.
        fresh: values of all parameters and buffers of h, by their names in it.

    Examples:
        >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> head, x = InjectableHead(network), torch.ones(1, 3)
        >>> before = head(x)
        >>> inject_head(head, {name: value + 1 for name, value in network.named_parameters()})
        >>> torch.equal(head(x), before)
        True
        >>> [name for name, value in head.named_parameters() if value.requires_grad]
        ['trained.0.weight', 'trained.0.bias', 'trained.2.weight', 'trained.2.bias']
    """
    for copied in (head.trained, head.subtracted):
        for name, tensor in tensors_of(copied).items():
            tensor.copy_(fresh[name])
    head.injected.fill_(True)
    head.choose_trained()
