"""How far predicted probabilities are from the label."""

import torch
from torch import Tensor
from torch.nn import functional as F


def error_norms(logits: Tensor, labels: Tensor) -> Tensor:
    """Return |softmax(logits) - one-hot label|_2 of each example, (examples,), in [0, sqrt(2)].

    Its mean over trained networks, early in training, is the score EL2N (Paul et al. 2021,
    https://arxiv.org/abs/2107.07075).

    Args:
        logits: (examples, classes).
        labels: int64 (examples,).

    Examples:
        >>> error_norms(torch.tensor([[0.0, 0.0], [99.0, 0.0]]), labels=torch.tensor([0, 0]))
        tensor([0.7071, 0.0000])
    """
    probabilities = logits.float().softmax(1)
    errors = probabilities - F.one_hot(labels, logits.shape[1])
    norms: Tensor = torch.linalg.vector_norm(errors, dim=1)
    return norms
