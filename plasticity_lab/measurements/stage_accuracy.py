"""What is left of earlier tasks, by the names of continual learning."""

from collections.abc import Mapping


def average_accuracy(accuracies: Mapping[int, float]) -> float:
    """Return the mean accuracy over tasks (ACC of Lopez-Paz & Ranzato 2017).

    https://arxiv.org/abs/1706.08840

    Args:
        accuracies: of each task, in [0, 1].

    Examples:
        >>> average_accuracy({0: 0.5, 1: 1.0})
        0.75
    """
    return sum(accuracies.values()) / len(accuracies)


def forgetting(now: Mapping[int, float], best_before: Mapping[int, float]) -> float | None:
    """Return how much accuracy on earlier tasks has fallen (Chaudhry et al. 2018).

    https://arxiv.org/abs/1801.10112

    The mean over tasks of the highest accuracy that has been measured before less that of now: in
    [-1, 1], and below 0 where tasks have become better than ever.

    Args:
        now: accuracy of each task.
        best_before: the highest accuracy of each earlier task before; other tasks are left out.

    Returns:
        None without an earlier task.

    Examples:
        >>> forgetting({0: 0.5, 1: 0.75}, {0: 1.0})
        0.5
    """
    return _mean_difference(best_before, now)


def backward_transfer(now: Mapping[int, float], own: Mapping[int, float]) -> float | None:
    """Return what later training has done to earlier tasks (BWT of Lopez-Paz & Ranzato 2017).

    https://arxiv.org/abs/1706.08840

    The mean over tasks of the accuracy of now less that at the end of the task's own training: in
    [-1, 1], below 0 where tasks have been forgotten.

    Args:
        now: accuracy of each task.
        own: accuracy of each earlier task when its own training ended; other tasks are left out.

    Returns:
        None without an earlier task.

    Examples:
        >>> backward_transfer({0: 0.5, 1: 0.75}, {0: 1.0})
        -0.5
    """
    return _mean_difference(now, own)


def _mean_difference(first: Mapping[int, float], second: Mapping[int, float]) -> float | None:
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    return sum(first[task] - second[task] for task in shared) / len(shared)
