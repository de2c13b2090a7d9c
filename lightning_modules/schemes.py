"""Initialisations that papers use in place of a network's own."""

from typing import Literal

import torch
from torch import nn

Scheme = Literal["own", "kaiming_fan_out", "kaiming_uniform_norm"]
"""`own`: as the network itself does, which is torch's default for its layers."""

_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Conv3d
_BATCH_NORMS = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d


@torch.no_grad()
def apply(scheme: str, layer: nn.Module) -> None:
    """Set what a layer holds itself, in place, by a scheme; draws come from the global stream.

    `kaiming_fan_out` is torchvision's for ResNets, in the ReScience reproduction of Ash & Adams and
    in DASH: kernels N(0, 2 / fan out), batch and group norm 1 and 0. `kaiming_uniform_norm` is that
    of open_lth (Frankle et al. 2020): kernels and matrices N(0, 2 / fan in), scales of batch norm
    uniform in [0, 1] and shifts 0. Whatever is not named is left as it is.

    Args:
        scheme: one of `Scheme`; `own` is the identity.
        layer: its parts are left alone.
    """
    if scheme == "kaiming_fan_out":
        if isinstance(layer, _CONVOLUTIONS):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, _BATCH_NORMS | nn.GroupNorm) and layer.affine:
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    if scheme == "kaiming_uniform_norm":
        if isinstance(layer, _CONVOLUTIONS | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
        elif isinstance(layer, _BATCH_NORMS) and layer.affine:
            nn.init.uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
