"""Auxiliary heads on the last features held to a multiple of what they first gave out (InFeR)."""

from torch import Tensor


def infer_penalty(outputs: Tensor, initial: Tensor, scale: float = 100.0) -> Tensor:
    """Return the mean over examples of |g(x) - scale * g_0(x)|^2, a scalar.

    Initial feature regularisation, Lyle et al. 2022, https://arxiv.org/abs/2204.09560. Its gradient
    goes to whatever made the outputs: the heads, and the features that they read.

    Args:
        outputs: g(x), of the heads, (examples, heads).
        initial: g_0(x), of the initial heads on the initial features of the same examples.
        scale: of the targets, above 0; 1 lets the penalty begin at 0.

    Examples:
        >>> outputs, initial = torch.ones(4, 2, requires_grad=True), torch.full((4, 2), 0.5)
        >>> penalty = infer_penalty(outputs, initial, scale=4.0)
        >>> float(penalty.detach())
        2.0
        >>> penalty.backward()
        >>> torch.equal(outputs.grad, 2 * (outputs.detach() - 4.0 * initial) / 4)
        True
    """
    return (outputs - scale * initial).square().sum(1).mean()
