"""The neural tangent kernel, and what lies in its top eigenvectors (Kopitkov & Indelman 2020)."""

import warnings
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from plasticity_lab.measurements.functional import Parameters, detached_parameters, forward
from plasticity_lab.measurements.gram import cosine, gram

NUMBERS = 2**26
"""Numbers of per-example gradients held at once, a quarter of a gigabyte in float32.

Those of one tensor are held in any case.
"""


def tangent_kernels(network: nn.Module, images: Tensor, chunk: int = 64) -> dict[str, Tensor]:
    """Return the trace kernel by parameter tensor; their sum is the whole.

    K_ij = sum over outputs of grad f_c(x_i)·grad f_c(x_j).

    One pass of per-example gradients for each class, and each group of parameters whose gradients
    fit into memory.

    Args:
        network: in evaluation mode.
        images: (examples, …).
        chunk: examples whose gradients are taken at once.

    Returns:
        by name, (examples, examples), float64.

    Examples:
        >>> network = nn.Linear(3, 2)
        >>> kernels = tangent_kernels(network, torch.randn(4, 3))
        >>> {name: tuple(kernel.shape) for name, kernel in kernels.items()}
        {'weight': (4, 4), 'bias': (4, 4)}
    """
    fixed = {name: value.detach() for name, value in detached_parameters(network).items()}
    with torch.no_grad():
        classes = forward(network, fixed, images[:1]).shape[1]
    kernels = {
        name: torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
        for name in fixed
    }
    for group in _groups(fixed, len(images)):
        for label in range(classes):
            each = vmap(grad(_output(network, fixed, label)), in_dims=(None, 0), chunk_size=chunk)
            with warnings.catch_warnings():
                # Some poolings are slower than they could be.
                warnings.filterwarnings("ignore", "There is a performance drop")
                gradients = each(group, images)
            for name, part in gradients.items():
                rows = part.detach().flatten(1)
                kernels[name] += (rows @ rows.T).double()
    return kernels


def _groups(parameters: Parameters, examples: int) -> Iterator[Parameters]:
    group: Parameters = {}
    for name, value in parameters.items():
        if (
            group
            and examples * (value.numel() + sum(part.numel() for part in group.values())) > NUMBERS
        ):
            yield group
            group = {}
        group[name] = value
    yield group


def _output(
    network: nn.Module, fixed: Mapping[str, Tensor], label: int
) -> Callable[[Parameters, Tensor], Tensor]:
    return lambda group, image: forward(network, {**fixed, **group}, image[None])[0, label]


def eigh_descending(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return decreasing eigenvalues of a symmetric matrix and eigenvectors as columns.

    In float64.

    Examples:
        >>> values, vectors = eigh_descending(torch.diag(torch.tensor([1.0, 3.0])))
        >>> values
        tensor([3., 1.], dtype=torch.float64)
    """
    values, vectors = torch.linalg.eigh(kernel.double())
    return values.flip(0), vectors.flip(1)


def energy(vectors: Tensor, target: Tensor) -> Tensor:
    """Return the part of a target in the span of the top k eigenvectors, k = 1 … examples.

    E(target, k) = |U_k' target|² / |target|².

    Args:
        vectors: eigenvectors as columns, the largest eigenvalue's first, (examples, examples).
        target: (examples, …), all columns together; of a random one k / examples is within.

    Returns:
        (examples,), increasing to 1, on the CPU.

    Examples:
        >>> target = torch.tensor([[3.0], [4.0]])
        >>> energy(torch.eye(2, dtype=torch.float64), target)
        tensor([0.3600, 1.0000], dtype=torch.float64)
    """
    parts = (
        (vectors.T @ target.double().reshape(len(target), -1)).pow(2).sum(1).cpu()
    )  # cumsum has no deterministic form on GPUs
    return parts.cumsum(0) / target.double().pow(2).sum().cpu()


def alignment(kernel: Tensor, target: Tensor) -> float:
    """Return the kernel-target alignment <K, YY'> / (|K| |YY'|) of the centred kernel.

    In [-1, 1] (Baratin et al. 2021).

    Args:
        kernel: (examples, examples).
        target: (examples, classes), centred here.

    Examples:
        >>> targets = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
        >>> round(alignment(targets @ targets.T, targets), 6)
        1.0
    """
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
    return cosine(centred, gram(target.to(kernel)))
