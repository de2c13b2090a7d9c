"""The neural tangent kernel of a probe, and what lies in its top eigenvectors (Kopitkov & Indelman 2019)."""

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from callbacks.diagnostics.function import logits, parameters_of


def tangent_kernels(network: nn.Module, images: Tensor, chunk: int = 16) -> dict[str, Tensor]:
    """Return K_ij = sum over classes of grad f_c(x_i)·grad f_c(x_j), the trace kernel, by parameter tensor; their sum is the whole.

    The Jacobian of only one parameter tensor is held at a time: examples x classes x its size.

    Args:
        network: in evaluation mode.
        images: (examples, …).
        chunk: examples whose Jacobian is taken at once.

    Returns:
        by name, (examples, examples), float64.
    """
    fixed = {name: value.detach() for name, value in parameters_of(network).items()}
    kernels = {}
    for name, parameter in fixed.items():

        def output(value: Tensor, image: Tensor, name: str = name) -> Tensor:
            return logits(network, {**fixed, name: value}, image[None])[0]

        rows = vmap(jacrev(output), in_dims=(None, 0), chunk_size=chunk)(parameter, images).flatten(1)
        kernels[name] = (rows @ rows.T).double()
    return kernels


def spectrum(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return the eigenvalues of a symmetric matrix, decreasing, and its eigenvectors as columns; float64."""
    values, vectors = torch.linalg.eigh(kernel.double())
    return values.flip(0), vectors.flip(1)


def energy(vectors: Tensor, target: Tensor) -> Tensor:
    """Return E(target, k) = |U_k' target|² / |target|² for k = 1 … examples: the share in the span of the top k eigenvectors.

    Args:
        vectors: eigenvectors as columns, the largest eigenvalue's first, (examples, examples).
        target: (examples, …), all columns together; of a random one k / examples is within.

    Returns:
        (examples,), increasing to 1.
    """
    parts = (vectors.T @ target.double().reshape(len(target), -1)).pow(2).sum(1)
    return parts.cumsum(0) / target.double().pow(2).sum()


def alignment(kernel: Tensor, target: Tensor) -> float:
    """Return <K, YY'> / (|K| |YY'|) of the centred kernel, in [-1, 1] (kernel-target alignment; Baratin et al. 2021).

    Args:
        kernel: (examples, examples).
        target: centred one-hot labels, (examples, classes).
    """
    centred = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
    labels = target.to(kernel) @ target.to(kernel).T
    return float((centred * labels).sum() / (centred.norm() * labels.norm()))


def centred_labels(labels: Tensor, classes: int) -> Tensor:
    """Return one-hot labels less their mean over examples, (examples, classes), float64: else the constant is what aligns."""
    hot = torch.nn.functional.one_hot(labels, classes).double()
    return hot - hot.mean(0)
