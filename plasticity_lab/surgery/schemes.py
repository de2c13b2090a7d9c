"""Initialisations that papers use in place of a network's own."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from plasticity_lab.errors import UserError

Scheme = Literal["own", "kaiming_fan_out", "kaiming_uniform_norm"]
"""`own`: as the network itself does, which is torch's default for its layers."""

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d
_BATCH_NORMS = nn.modules.batchnorm._BatchNorm  # synchronised batch norm too


@torch.no_grad()
def apply(scheme: str, layer: nn.Module) -> None:
    """Set what a layer holds itself, in place, by a scheme; draws come from the global stream.

    `kaiming_fan_out` is torchvision's for ResNets, in the ReScience reproduction of Ash & Adams and
    in DASH: kernels N(0, 2 / fan out), batch and group norm 1 and 0. `kaiming_uniform_norm` is that
    of open_lth (Frankle et al. 2020): kernels and matrices N(0, 2 / fan in), scales of batch norm
    uniform in [0, 1] and shifts 0. Whatever is not named is left as it is. Under weight norm the
    parts are set such that they give the draw.

    Args:
        scheme: one of `Scheme`; `own` is the identity.
        layer: its parts are left alone.

    Raises:
        UserError: for a weight that is computed in a way that cannot give the draw, as by spectral
            norm.
    """
    if scheme == "kaiming_fan_out":
        if isinstance(layer, _CONVOLUTIONS):
            _draw(layer, partial(nn.init.kaiming_normal_, mode="fan_out", nonlinearity="relu"))
        elif isinstance(layer, _BATCH_NORMS | nn.GroupNorm) and layer.affine:
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    if scheme == "kaiming_uniform_norm":
        if isinstance(layer, _CONVOLUTIONS | nn.Linear):
            _draw(layer, nn.init.kaiming_normal_)
        elif isinstance(layer, _BATCH_NORMS) and layer.affine:
            nn.init.uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def _draw(layer: nn.Module, fill: Callable[[Tensor], Any]) -> None:
    """Let a layer compute with a weight that `fill` has drawn."""
    parameters = dict(layer.named_parameters(recurse=False))
    weight = torch.empty_like(cast(Tensor, layer.weight))
    fill(weight)
    if "weight" in parameters:
        parameters["weight"].copy_(weight)
        return
    if "weight_g" in parameters:  # torch.nn.utils.weight_norm
        norm_dims = [dim for dim, size in enumerate(parameters["weight_g"].shape) if size == 1]
        parameters["weight_v"].copy_(weight)
        parameters["weight_g"].copy_(weight.pow(2).sum(norm_dims, keepdim=True).sqrt())
        return
    if parametrize.is_parametrized(layer, "weight"):
        with suppress(NotImplementedError):  # without right_inverse
            layer.weight = weight
            if torch.allclose(layer.weight, weight):
                return
    raise UserError(
        "initialisation",
        value=type(layer).__name__,
        problem="its weight is computed from others, and cannot be set to one that is drawn",
        fix="set initialisation: own, or remove what computes it",
    )
