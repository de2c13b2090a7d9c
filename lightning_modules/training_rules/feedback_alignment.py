"""Feedback alignment, and its sign-symmetric form."""

import math
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_modules.training_rules.feedback_rule import FeedbackRule
from plasticity_lab.errors import UserError
from plasticity_lab.randomness import generator
from plasticity_lab.surgery.feedback_transport import Carrier, carriers, feedback_transport
from plasticity_lab.surgery.layer_selection import outermost, part_of


class FeedbackAlignment(FeedbackRule):
    """Other weights than a layer's own carry signals back through it, layer by layer.

    Fixed random ones (Lillicrap et al. 2016, https://doi.org/10.1038/ncomms13276), or the signs of
    the layer's own (Liao, Leibo & Poggio 2016, https://arxiv.org/abs/1510.05067; Moskovitz et al.
    2018, https://arxiv.org/abs/1812.06488). They take the place of W alone where the gradient at
    the input of a linear layer or a convolution is computed; gradients of weights and biases follow
    from what arrives. Everything else is backpropagated through.

    Args:
        layers: names and patterns of layers whose linear layers and convolutions pass signals so;
            None is all of the network.
        feedback: `random`, fixed, uniform in ±1/sqrt(fan_in), which is how torch draws W; `sign`,
            sign(W)/sqrt(3 fan_in), whose scale is the standard deviation of that.

    Raises:
        UserError: before training, for layers that are not there, have no such weights or are not
            called; convolutions that pad by other than zeros; a compiled network; or a callback
            whose term of the loss needs more than the outputs.

    Example:
        ```yaml
        rule: {class_path: lightning_modules.FeedbackAlignment, init_args: {feedback: sign}}
        ```
    """

    def __init__(
        self, layers: list[str] | None = None, feedback: Literal["random", "sign"] = "random"
    ) -> None:
        super().__init__(layers)
        self.feedback = feedback

    def forward_pass(self, network: nn.Module) -> AbstractContextManager[None]:
        """Replace the transport of the chosen layers."""
        weights = self._signs if self.feedback == "sign" else self._random
        return feedback_transport(self._chosen(network), weights)

    def _chosen(self, network: nn.Module) -> dict[str, Carrier]:
        known = carriers(network)
        if self.layers is not None:
            names = outermost(network, self.layers)
            known = {
                name: layer
                for name, layer in known.items()
                if any(part_of(name, chosen) for chosen in names)
            }
        if not known:
            raise UserError(
                "layers",
                value=", ".join(self.layers or ["all"]),
                problem="have no linear layer and no convolution",
                fix="choose layers with one",
            )
        return known

    def _random(self, name: str, weight: Tensor) -> Tensor:
        def draw() -> Tensor:
            draws = generator(self.seed, "FeedbackAlignment", name)
            matrix = torch.empty(weight.shape, dtype=torch.float32)
            matrix.uniform_(-1, 1, generator=draws)
            return matrix.div(math.sqrt(_fan_in(weight)))

        return self.fixed(name, weight.shape, weight, draw)

    def _signs(self, name: str, weight: Tensor) -> Tensor:
        return weight.detach().sign().div(math.sqrt(3 * _fan_in(weight)))


def _fan_in(weight: Tensor) -> int:
    return weight[0].numel()
