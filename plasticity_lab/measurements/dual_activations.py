"""What an activation makes of the covariance of two Gaussian numbers."""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

DualActivation = Literal["relu", "erf"]
"""Activations whose dual is known in closed form."""


class Dual(NamedTuple):
    """Expectations over (u, v), jointly Gaussian with mean 0.

    Attributes:
        values: E[f(u) f(v)].
        slopes: E[f'(u) f'(v)].
    """

    values: Tensor
    slopes: Tensor


def dual_activation(
    activation: DualActivation, first: Tensor, second: Tensor, covariance: Tensor
) -> Dual:
    """Return E[f(u) f(v)] and E[f'(u) f'(v)] of Gaussian u and v in closed form.

    ReLU: the arc-cosine kernels of degree 1 and 0 (Cho & Saul 2009,
    https://papers.nips.cc/paper/3628-kernel-methods-for-deep-learning). erf: the arcsine kernel
    (Williams 1997, https://papers.nips.cc/paper/1197-computing-with-infinite-networks), and the
    Gaussian integral of its derivative. Where `covariance` equals both variances, to the bit, ReLU
    gives exactly half of it and 1/2.

    Args:
        activation: f.
        first: variance of u, 0 or more.
        second: variance of v, that broadcasts with it.
        covariance: of u and v, of the broadcast shape.

    Examples:
        >>> one = torch.ones(1, dtype=torch.float64)
        >>> dual_activation("relu", one, one, one)
        Dual(values=tensor([0.5000], dtype=torch.float64), slopes=tensor([0.5000], dtype=torch...
        >>> dual_activation("erf", one, one, 0 * one).values
        tensor([0.], dtype=torch.float64)
    """
    if activation == "relu":
        return _relu(first * second, covariance)
    return _erf((1 + 2 * first) * (1 + 2 * second), covariance)


def _relu(product: Tensor, covariance: Tensor) -> Dual:
    norm = product.sqrt()
    # Of a number that is always 0 the angle does not matter; rounding may leave [-1, 1].
    cosine = (covariance / norm).nan_to_num_(0.0).clamp_(-1.0, 1.0)
    slopes = torch.acos(cosine).sub_(math.pi).div_(-2 * math.pi)
    sine = cosine.square().neg_().add_(1.0).sqrt_()
    values = sine.div_(2 * math.pi).addcmul_(slopes, cosine).mul_(norm)
    return Dual(values, slopes)


def _erf(product: Tensor, covariance: Tensor) -> Dual:
    values = torch.asin(2 * covariance / product.sqrt()).mul_(2 / math.pi)
    slopes = (product - 4 * covariance.square()).rsqrt_().mul_(4 / math.pi)
    return Dual(values, slopes)
