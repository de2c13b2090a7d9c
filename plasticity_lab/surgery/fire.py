"""Weights made isometries (Han et al. 2026)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from plasticity_lab.surgery.weight_matrices import linear_layers


def isometry(matrix: Tensor, iterations: int | None = 10) -> Tensor:
    """Return the isometry nearest to a matrix, its polar factor, or an approximation of it.

    Newton-Schulz iterations X <- 1.5 X - 0.5 X X' X begin at the matrix over its Frobenius norm, so
    that a small singular value grows by 1.5 at most in each: after ten, one of 0.001 times the norm
    has become 0.06 and not 1, as in the authors' code.

    Args:
        matrix: (…, rows, columns), floating-point; one of zeros, to which none is nearest, stays.
        iterations: of Newton-Schulz; None is exact, by a singular value decomposition.

    Examples:
        >>> isometry(torch.tensor([[3.0, 0.0], [0.0, 0.5]]), iterations=None)
        tensor([[1., 0.],
                [0., 1.]])
    """
    if iterations is None:
        wide_enough = matrix if matrix.dtype == torch.float64 else matrix.float()
        left, values, right = torch.linalg.svd(wide_enough, full_matrices=False)
        exact: Tensor = left @ right * (values[..., :1, None] > 0)
        return exact.to(matrix.dtype)
    wide = matrix.shape[-2] < matrix.shape[-1]
    x: Tensor = matrix.mT if wide else matrix
    norm = torch.linalg.matrix_norm(x, keepdim=True)
    x = x / norm.where(norm > 0, 1)
    for _ in range(iterations):
        x = 1.5 * x - 0.5 * x @ (x.mT @ x)
    return x.mT if wide else x


@torch.no_grad()
def orthogonalise(layers: Mapping[str, nn.Module], iterations: int | None = 10) -> None:
    """Replace the weights of linear and convolutional layers by scaled isometries, in place.

    FIRE, Han et al. 2026, https://arxiv.org/abs/2602.08040. A matrix W (outputs, inputs) becomes
    sqrt(outputs / inputs) times its isometry; of a kernel the matrix at each position does, over
    the number of positions. Biases and normalisation layers stay.

    Args:
        layers: by name; those without a matrix, or whose weights are frozen, are left alone. The
            stacked projections of torch's attention are, too; those of a layer are one matrix.
        iterations: as `isometry` takes it; the authors' is 10.

    Raises:
        UserError: by name, for a weight that is computed from others.

    Examples:
        >>> network = nn.Linear(2, 2, bias=False)
        >>> orthogonalise({"": network}, iterations=None)
        >>> bool((network.weight @ network.weight.T - torch.eye(2)).abs().max() < 1e-6)
        True
    """
    for layer in linear_layers(layers).values():
        weight = layer.get_parameter("weight")
        if not weight.requires_grad:
            continue
        outputs, inputs = weight.shape[:2]
        positions = weight[0, 0].numel()
        # (positions, outputs, inputs)
        matrices = weight.reshape(outputs, inputs, positions).permute(2, 0, 1)
        scaled = isometry(matrices, iterations) * (outputs / inputs) ** 0.5 / positions
        weight.copy_(scaled.permute(1, 2, 0).reshape(weight.shape))
