"""Units that are dormant or dead (Sokar et al. 2023)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def magnitudes(activations: Tensor) -> Tensor:
    """Return the mean absolute activation of each unit on each example, (examples, units).

    Args:
        activations: (examples, units); (examples, tokens, units), averaged over tokens; or
            (examples, units, height, width), averaged over positions.

    Examples:
        >>> activations = torch.ones(8, 16, 4, 4)
        >>> magnitudes(activations).shape
        torch.Size([8, 16])
    """
    if activations.ndim < 3:
        return activations.abs()
    return (
        activations.abs().mean(1) if activations.ndim == 3 else activations.abs().flatten(2).mean(2)
    )


def redo_scores(activity: Tensor) -> Tensor:
    """Return each unit's mean magnitude over that of its layer, (units,).

    The score of ReDo (Sokar et al. 2023, https://arxiv.org/abs/2302.12902).

    Args:
        activity: magnitudes of one layer, (examples, units); a layer of zeros only has scores 0.

    Examples:
        >>> redo_scores(torch.tensor([[0.0, 2.0], [0.0, 2.0]]))
        tensor([0., 2.])
    """
    # 1e-9 is 0 in float16.
    means = activity.mean(0).to(torch.promote_types(activity.dtype, torch.float32))
    return means / (means.mean() + 1e-9)


def dormant(activity: Tensor, tau: float) -> Tensor:
    """Return which units have a score of at most tau, bool (units,).

    Examples:
        >>> dormant(torch.tensor([[0.01, 2.0], [0.01, 2.0]]), tau=0.025)
        tensor([ True, False])
    """
    return redo_scores(activity) <= tau


def dead(activity: Tensor) -> Tensor:
    """Return which units are zero on all examples, bool (units,).

    Examples:
        >>> dead(torch.tensor([[0.0, 2.0], [0.0, 0.0]]))
        tensor([ True, False])
    """
    return (activity == 0).all(0)


def shares(blocks: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    """Return the fraction of marked units in all layers (key ``""``) and in each block.

    Args:
        blocks: for each block its layers' marks, bool (units,).

    Examples:
        >>> shares({"layer1": [torch.tensor([True, False])], "head": [torch.tensor([True, True])]})
        {'': 0.75, 'layer1': 0.5, 'head': 1.0}
    """
    counts = {
        name: (sum(int(marks.sum()) for marks in layers), sum(len(marks) for marks in layers))
        for name, layers in blocks.items()
    }
    marked, units = (sum(count[part] for count in counts.values()) for part in (0, 1))
    return {"": marked / units, **{name: count / total for name, (count, total) in counts.items()}}
