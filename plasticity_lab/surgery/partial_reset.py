"""Part of the weights drawn again: one form for several methods, which differ in the mask."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def partial_reset(
    parameters: Mapping[str, Tensor], fresh: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> None:
    """Replace each parameter by `mask * parameter + (1 - mask) * fresh`, in place.

    The form of Zhou et al. 2022, https://arxiv.org/abs/2202.00155. Masks of ones are the identity.

    Args:
        parameters: by name; those without a mask are left alone.
        fresh: new values, by the same names (`redraw`).
        masks: which are kept, bool, of the parameters' shapes.

    Examples:
        >>> weights = {"weight": torch.tensor([1.0, 2.0])}
        >>> masks = {"weight": torch.tensor([True, False])}
        >>> partial_reset(weights, {"weight": torch.tensor([5.0, 6.0])}, masks)
        >>> weights["weight"]
        tensor([1., 6.])
    """
    for name, mask in masks.items():
        parameter = parameters[name]
        parameter.copy_(
            torch.where(mask.to(parameter.device), parameter, fresh[name].to(parameter))
        )


def random_mask(weight: Tensor, kept: float, draws: torch.Generator) -> Tensor:
    """Return a mask that keeps each weight with probability `kept`.

    WELS of Knowledge Evolution (Taha et al. 2021, https://arxiv.org/abs/2103.05152).

    Args:
        weight: any tensor.
        kept: in [0, 1].
        draws: on the CPU.

    Examples:
        >>> mask = random_mask(torch.ones(1000), 0.8, torch.Generator().manual_seed(0))
        >>> bool(abs(mask.float().mean() - 0.8) < 0.05)
        True
    """
    return torch.rand(weight.shape, generator=draws) < kept


def largest_mask(weight: Tensor, kept: float) -> Tensor:
    """Return a mask that keeps the largest magnitudes of a layer, a share `kept` of them.

    Dense-sparse-dense training (Han et al. 2017, https://arxiv.org/abs/1607.04381), which does so
    once. As many are drawn again as round(share x weights); of equal magnitudes the first are.

    Examples:
        >>> largest_mask(torch.tensor([0.1, -3.0, 2.0, -0.2]), 0.5)
        tensor([False,  True,  True, False])
    """
    drawn = round((1 - kept) * weight.numel())
    mask = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    mask[weight.detach().abs().flatten().argsort(stable=True)[:drawn]] = False
    return mask.view(weight.shape)


def leading_mask(weight: Tensor, kept: float, first: bool, last: bool) -> Tensor:
    """Return a mask that keeps the weights between the leading units of two layers.

    KELS of Knowledge Evolution (Taha et al. 2021, https://arxiv.org/abs/2103.05152): the first
    ceil(share x units) of both, a smaller network inside of the network.

    Args:
        weight: (outputs, inputs, …).
        kept: share of the units, in [0, 1].
        first: whether its inputs are those of the network, all of which are kept.
        last: whether its outputs are those of the network, all of which are kept.

    Examples:
        >>> leading_mask(torch.ones(2, 4), 0.5, first=False, last=False).int()
        tensor([[1, 1, 0, 0],
                [0, 0, 0, 0]], dtype=torch.int32)
    """
    outputs, inputs = weight.shape[:2]
    # Rounded, since 0.55 x 100 is a little more than 55.
    rows = outputs if last else math.ceil(round(kept * outputs, 6))
    columns = inputs if first else math.ceil(round(kept * inputs, 6))
    mask = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
    mask[:rows, :columns] = True
    return mask
