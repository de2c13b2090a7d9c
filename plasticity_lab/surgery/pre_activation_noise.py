"""Noise on what enters the activations of a network."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.activation_functions import (
    ACTIVATIONS,
    OF_FEATURES,
    OF_MAPS,
    unit_dim,
)

Draws = Callable[[int], torch.Generator]
"""From the number of an activation in a forward pass, from 0, to a generator on the CPU."""


@contextmanager
def noise_before_activations(std: float, draws: Draws) -> Iterator[None]:
    """Add Gaussian noise to what enters each activation of hidden units in the forward pass inside.

    As in Li, Wei & Ma 2019, https://arxiv.org/abs/1907.04595, whose noise for maps is one (height,
    width) tensor for each activation, shared by all examples and channels. So is that of tokens
    (examples, tokens, units) one number for each token, and that of (examples, units) one number:
    a linear layer has the noise of the 1 x 1 convolution that it equals.

    Activations are ReLU and its kin, GELU, SiLU, tanh and others, modules or functions. Sigmoids,
    which are gates, and the softmax of attention are none. Noise has the precision of what it is
    added to, and gradients pass through the sum. What is computed between, such as batch norm above
    an activation, sees it.

    Args:
        std: standard deviation, 0 or more; 0 is the identity, for which nothing is drawn.
        draws: gives the generator for each activation, float32 whatever the precision.

    Raises:
        UserError: below 0, and at the end if no activation was called.

    Examples:
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU())
        >>> inputs, draws = torch.ones(5, 1, 6, 6), lambda number: torch.Generator().manual_seed(7)
        >>> with noise_before_activations(0.4, draws):
        ...     outputs = network(inputs)
        >>> noise = 0.4 * torch.randn(1, 1, 4, 4, generator=draws(0))
        >>> torch.equal(outputs, (network[0](inputs) + noise).relu())
        True
    """
    if not std >= 0:
        raise UserError("std", value=std, fix="set 0 (no noise) or more")
    if std == 0:
        yield
        return
    noise = _Noise(std, draws)
    with noise:
        yield
    if not noise.calls:
        raise UserError(
            "network",
            problem="calls no activation (ReLU, GELU, tanh …) before which noise could be added",
            fix="remove the noise",
        )


class _Noise(TorchFunctionMode):
    """Adds noise to the first argument of activation functions."""

    def __init__(self, std: float, draws: Draws) -> None:
        super().__init__()
        self.calls = 0
        self._std, self._draws = std, draws
        self._of_maps: bool | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = dict(kwargs or {})
        if func in OF_FEATURES or func in OF_MAPS:
            self._of_maps = func in OF_MAPS
        if func not in ACTIVATIONS:
            return func(*args, **named)

        values = args[0] if args else named.pop("input")
        noisy = values + self._noise(values)
        output = func(noisy, *args[1:], **named)
        # It worked in place: what it was given has the result too.
        return values.copy_(output) if output is noisy else output

    def _noise(self, values: Tensor) -> Tensor:
        """Return the noise of the next activation, which broadcasts to its values."""
        shared = 0, unit_dim(values.ndim, self._of_maps)
        shape = [1 if dim in shared else size for dim, size in enumerate(values.shape)]
        numbers = torch.randn(shape, generator=self._draws(self.calls), dtype=torch.float32)
        self.calls += 1
        return numbers.mul(self._std).to(values.device, values.dtype)
