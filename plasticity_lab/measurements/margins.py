"""Margins of classification."""

from collections.abc import Iterable

import torch
from torch import Tensor

from plasticity_lab.measurements.functional import norm


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logit of the label minus the largest other one, (examples,).

    Below 0 where the prediction is wrong.

    Args:
        logits: (examples, classes), two classes or more.
        labels: int64 (examples,).

    Examples:
        >>> margins(torch.tensor([[3.0, 1.0], [0.0, 2.0]]), labels=torch.tensor([0, 0]))
        tensor([ 2., -2.])
    """
    columns = labels[:, None]
    return logits.gather(1, columns).squeeze(1) - logits.scatter(1, columns, -torch.inf).amax(1)


def lowest_tenth(margins: Tensor) -> float:
    """Return the (n // 10)-th smallest of n margins; the smallest of fewer than ten.

    Examples:
        >>> lowest_tenth(torch.arange(20.0))
        1.0
    """
    return float(margins.sort().values[max(len(margins) // 10, 1) - 1])


def weight_norm(parameters: Iterable[Tensor]) -> float:
    """Return the Euclidean norm of all weights together.

    Of parameters of more than one dimension: not of biases or batch norm's.

    Examples:
        >>> weight_norm([torch.tensor([[3.0, 4.0]]), torch.tensor([9.0])])
        5.0
    """
    return float(norm(parameter.detach() for parameter in parameters if parameter.ndim > 1))
