"""Features held to what random heads make of the initial ones (InFeR)."""

from torch import Tensor
from torch.nn import functional as F


def infer_penalty(features: Tensor, initial: Tensor, heads: Tensor, scale: float = 1.0) -> Tensor:
    """Return the mean over examples of |heads h - scale * heads h_0|^2, a scalar.

    Lyle et al. 2022, https://arxiv.org/abs/2204.09560, with heads that are the same on both sides.

    Args:
        features: h, (examples, features).
        initial: h_0, those of the initial network.
        heads: (heads, features).
        scale: of the targets, above 0.

    Examples:
        >>> features, heads = torch.ones(4, 3), torch.eye(3)[:2]
        >>> infer_penalty(features, torch.zeros(4, 3), heads)
        tensor(2.)
    """
    return (F.linear(features, heads) - scale * F.linear(initial, heads)).square().sum(1).mean()
