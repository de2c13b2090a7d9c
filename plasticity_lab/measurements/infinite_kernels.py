"""Kernels of infinitely wide networks in closed form."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.dual_activations import dual_activation
from plasticity_lab.measurements.infinite_network import InfiniteNetwork
from plasticity_lab.measurements.position_maps import (
    all_position_products,
    patch_means,
    same_position,
    same_position_products,
    squared_lengths,
)

BLOCK_ENTRIES = 2**16
"""Entries of a map of a block of pairs: 512 KiB of float64, of which about six are held at once."""


class InfiniteKernels(NamedTuple):
    """Two kernels between examples, float64.

    Attributes:
        nngp: covariance of the outputs of random networks, (examples, others).
        ntk: neural tangent kernel, (examples, others).
    """

    nngp: Tensor
    ntk: Tensor


@torch.no_grad()
def nngp_and_ntk(
    network: InfiniteNetwork,
    first: Tensor,
    second: Tensor | None = None,
    block_entries: int = BLOCK_ENTRIES,
) -> InfiniteKernels:
    """Return the NNGP kernel and the neural tangent kernel of an infinitely wide network.

    Lee et al. 2018, https://arxiv.org/abs/1711.00165; Jacot et al. 2018,
    https://arxiv.org/abs/1806.07572; convolutions: Novak et al. 2019,
    https://arxiv.org/abs/1810.05148, and Arora et al. 2019, https://arxiv.org/abs/1904.11955. The
    NTK is that of one output in NTK parametrisation.

    All is computed in float64, in blocks of pairs, of a symmetric matrix only those on and above
    the diagonal. Other blocks change results by the rounding of matrix products (1e-15 of the
    largest entry).

    Args:
        network: what it is.
        first: (examples, …) for `dense`, (examples, channels, height, width) for convolutions; of
            any floating-point type.
        second: (others, …); None is `first`.
        block_entries: numbers in a map of a block: pairs, times positions (`flatten`) or pairs of
            positions (`average`).

    Raises:
        UserError: for inputs that are not images, where the network has convolutions.

    Examples:
        >>> inputs = torch.tensor([[1.0, 2.0, -1.0], [-1.0, 1.0, 1.0]])
        >>> nngp_and_ntk(InfiniteNetwork(depth=1), inputs).nngp
        tensor([[2.0000, 0.4502],
                [0.4502, 1.0000]], dtype=torch.float64)
    """
    symmetric = second is None
    rows = _images(network, first)
    columns = rows if second is None else _images(network, second)
    nngp = rows.new_empty(len(rows), len(columns))
    ntk = torch.empty_like(nngp)

    # Variances of each example are needed in every block that it is in.
    row_variances = _variances(network, rows)
    column_variances = row_variances if symmetric else _variances(network, columns)

    size = _block_size(network, rows, block_entries)
    for left in _slices(len(rows), size):
        for right in _slices(len(columns), size):
            if symmetric and right.start < left.start:
                continue
            block = _block(
                network,
                (rows[left], columns[right]),
                ([v[..., left] for v in row_variances], [v[..., right] for v in column_variances]),
                same=symmetric and left == right,
            )
            for matrix, part in zip((nngp, ntk), block, strict=True):
                matrix[left, right] = part
                if symmetric and left == right:
                    matrix[left, right] = part.triu() + part.triu(1).T
                elif symmetric:
                    matrix[right, left] = part.T
    return InfiniteKernels(nngp, ntk)


def _images(network: InfiniteNetwork, inputs: Tensor) -> Tensor:
    """Return inputs in float64, those of dense networks as images of one position."""
    if network.kind == "dense":
        return inputs.double().flatten(1)[..., None, None]
    if inputs.ndim != 4:
        raise UserError(
            "inputs",
            value=f"{inputs.ndim} dimensions",
            problem="convolutions need (examples, channels, height, width)",
            fix="give images, or set kind: dense",
        )
    return inputs.double()


def _block_size(network: InfiniteNetwork, images: Tensor, entries: int) -> int:
    positions = images[0, 0].numel()
    maps = positions**2 if network.kind == "average" else positions
    return max(1, math.isqrt(entries // maps))


def _slices(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))


def _linear(network: InfiniteNetwork, maps: Tensor, all_pairs: bool = False) -> Tensor:
    """Return what a hidden layer's weights make of a map."""
    mixed = maps if network.kind == "dense" else patch_means(maps, all_pairs)
    return mixed * network.weight_variance


def _variances(network: InfiniteNetwork, images: Tensor) -> list[Tensor]:
    """Return variances before each activation, each (height, width, examples)."""
    lengths = squared_lengths(images)
    variances = [_linear(network, lengths) + network.bias_variance]
    for _ in range(network.depth - 1):
        last = variances[-1]
        values = dual_activation(network.activation, last, last, last).values
        variances.append(_linear(network, values) + network.bias_variance)
    return variances


def _block(
    network: InfiniteNetwork,
    images: tuple[Tensor, Tensor],
    variances: tuple[list[Tensor], list[Tensor]],
    same: bool,
) -> tuple[Tensor, Tensor]:
    """Return both kernels between some examples and some others.

    Args:
        network: what it is.
        images: of both.
        variances: of both, before each activation.
        same: whether they are the same examples.
    """
    all_pairs = network.kind == "average"
    products = all_position_products if all_pairs else same_position_products
    nngp = _linear(network, products(*images), all_pairs) + network.bias_variance
    ntk = nngp

    for layer, (first, second) in enumerate(zip(*variances, strict=True)):
        if same:
            _set_diagonal(nngp, first, all_pairs)
        left, right = first[..., None], second[..., None, :]
        if all_pairs:
            left, right = left[:, :, None, None], right[None, None]
        values, slopes = dual_activation(network.activation, left, right, nngp)
        passed = slopes.mul_(ntk)
        if layer + 1 < network.depth:
            nngp = _linear(network, values, all_pairs) + network.bias_variance
            ntk = nngp + _linear(network, passed, all_pairs)

    # The readout sees all positions, or their average.
    positions = tuple(range(values.ndim - 2))
    variance = network.readout_weight_variance
    nngp = variance * values.mean(positions) + network.readout_bias_variance
    return nngp, nngp + variance * passed.mean(positions)


def _set_diagonal(maps: Tensor, variances: Tensor, all_pairs: bool) -> None:
    """Let a map hold the very variances where both examples and both positions are the same.

    The angle between them would be off by the root of the rounding otherwise.
    """
    same = same_position(maps) if all_pairs else maps
    same.diagonal(0, -2, -1).copy_(variances)
