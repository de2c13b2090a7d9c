"""Masks of weights: which are pruned, and how they stay at zero."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from plasticity_lab.errors import UserError
from plasticity_lab.surgery.optimizer_state import clear_optimizer_state

Masks = Mapping[str, Tensor]
"""By name of the weight, bool of its shape: True where it survives."""


def prune_masks(
    scores: Mapping[str, Tensor], masks: Masks, share: float | Mapping[str, float]
) -> dict[str, Tensor]:
    """Return masks from which the surviving weights with the smallest scores are removed.

    One round of magnitude pruning, with magnitudes as scores (Frankle & Carbin 2019,
    https://arxiv.org/abs/1803.03635), or of random pruning, with random ones. Exactly
    round(share x surviving weights) are removed; of equal scores the first are.

    Args:
        scores: by name, of each weight's shape.
        masks: which weights survive so far, by the same names.
        share: of the surviving weights that is removed, in [0, 1]: a number is a share of all
            together (global pruning), by name it is a share of each weight tensor (layerwise). 0 is
            the identity.

    Raises:
        UserError: for a share outside [0, 1].

    Examples:
        >>> scores = {"a": torch.tensor([1.0, 2.0, 3.0, 4.0]), "b": torch.tensor([5.0, 0.0])}
        >>> dense = {name: torch.ones_like(score).bool() for name, score in scores.items()}
        >>> prune_masks(scores, dense, 0.5)["a"]
        tensor([False, False,  True,  True])
        >>> prune_masks(scores, dense, {"a": 0.25, "b": 0.5})["a"]
        tensor([False,  True,  True,  True])
    """
    if isinstance(share, Mapping):
        each = [_pruned({name: scores[name]}, masks, share[name]) for name in scores]
        return {name: mask for pruned in each for name, mask in pruned.items()}
    return _pruned(scores, masks, share)


def _pruned(scores: Mapping[str, Tensor], masks: Masks, share: float) -> dict[str, Tensor]:
    if not 0 <= share <= 1:
        raise UserError("share", value=share, fix="set a share in [0, 1]")
    flat = torch.cat([scores[name].detach().flatten() for name in scores])
    surviving = torch.cat([masks[name].flatten() for name in scores]).to(flat.device)

    # Weights that are pruned already come last, so that they are not counted again.
    order = flat.masked_fill(~surviving, float("inf")).argsort(stable=True)
    removed = order[: round(share * int(surviving.sum()))]
    surviving = surviving.index_fill(0, removed, value=False)
    parts = torch.split(surviving, [score.numel() for score in scores.values()])
    return {
        name: part.view(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def shuffle_masks(masks: Masks, draws: Callable[[str], torch.Generator]) -> dict[str, Tensor]:
    """Return each mask with its entries in random order: as many survive of each weight tensor.

    The control of Frankle et al. 2021, https://arxiv.org/abs/2009.08576, for which weights survive
    apart from how many of each layer.

    Args:
        masks: by name.
        draws: from a name to the generator of its permutation.

    Examples:
        >>> masks = {"a": torch.tensor([True, False, False, False])}
        >>> int(shuffle_masks(masks, lambda name: torch.Generator().manual_seed(0))["a"].sum())
        1
    """
    shuffled = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=draws(name)).to(mask.device)
        shuffled[name] = mask.flatten()[order].view(mask.shape)
    return shuffled


@torch.no_grad()
def mask_gradients(masks: Mapping[nn.Parameter, Tensor]) -> None:
    """Set the gradients of pruned weights to 0, in place; for a clipped norm, before clipping.

    Examples:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> (2 * weight).sum().backward()
        >>> mask_gradients({weight: torch.tensor([False, True])})
        >>> weight.grad
        tensor([0., 2.])
    """
    for parameter, mask in masks.items():
        if parameter.grad is not None:
            parameter.grad.masked_fill_(~mask.to(parameter.device), 0)


@torch.no_grad()
def zero_pruned(optimizers: Iterable[Optimizer], masks: Mapping[nn.Parameter, Tensor]) -> None:
    """Set pruned weights, and what optimizers hold for them, to exactly 0, in place.

    Args:
        optimizers: whose moments are cleared there.
        masks: by parameter, bool of its shape: True where it survives.

    Examples:
        >>> weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> zero_pruned([], {weight: torch.tensor([False, True])})
        >>> weight.detach()
        tensor([0., 2.])
    """
    pruned = {parameter: ~mask.to(parameter.device) for parameter, mask in masks.items()}
    for parameter, removed in pruned.items():
        parameter.masked_fill_(removed, 0)
    for optimizer in optimizers:
        clear_optimizer_state(optimizer, pruned)


def hold_masks(optimizer: Optimizer, masks: Mapping[nn.Parameter, Tensor]) -> Callable[[], None]:
    """Keep pruned weights at exactly 0 through the steps of an optimizer, whichever it is.

    Before a step their gradients are set to 0 (those that a closure makes in it are not:
    `mask_gradients`); after it they are, and what the optimizer holds for them. That undoes
    momentum, decay, noise and updates that mix weights. An optimizer that calls its closure several
    times in a step, as L-BFGS, moves them within it.

    Args:
        optimizer: any of torch's interface.
        masks: by parameter; read at each step, so that it may change.

    Returns:
        A function that ends it.

    Examples:
        >>> weight = nn.Parameter(torch.tensor([0.0, 1.0]))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> release = hold_masks(optimizer, {weight: torch.tensor([False, True])})
        >>> (2 * weight).sum().backward()
        >>> optimizer.step()
        >>> weight.detach()
        tensor([ 0., -1.])
        >>> release()
    """

    def before(*_: Any) -> None:
        mask_gradients(masks)

    def after(*_: Any) -> None:
        zero_pruned([optimizer], masks)

    handles = [
        optimizer.register_step_pre_hook(before),
        optimizer.register_step_post_hook(after),
    ]

    def release() -> None:
        for handle in handles:
            handle.remove()

    return release
