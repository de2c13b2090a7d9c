"""Whether the most forgotten examples are those with wrong labels (Toneva et al. 2019, 4)."""

import torch
from torch import Tensor


def precision(scores: Tensor, wrong: Tensor) -> float:
    """Return the fraction of wrong labels among the examples with the highest scores.

    As many examples as labels are wrong; in [0, 1].

    Where equal scores leave open which examples those are, the mean over all choices. Scores that
    say nothing have the share of wrong labels among all examples.

    Args:
        scores: (examples,).
        wrong: bool (examples,), one or more of them true.

    Examples:
        >>> precision(torch.tensor([3, 1, 2]), wrong=torch.tensor([True, False, False]))
        1.0
    """
    count = int(wrong.sum())
    lowest = scores.sort(descending=True).values[count - 1]
    above, level = scores > lowest, scores == lowest
    open_places = count - int(above.sum())
    true_positives = int((above & wrong).sum()) + open_places * float(wrong[level].double().mean())
    return true_positives / count


def auc(scores: Tensor, wrong: Tensor) -> float:
    """Return the probability that a wrong label has a higher score than a right one.

    Equal scores count half (the area under the ROC curve). Scores that say nothing have 0.5.

    Args:
        scores: (examples,).
        wrong: bool (examples,), not all alike.

    Examples:
        >>> auc(torch.tensor([3, 1, 2]), wrong=torch.tensor([True, False, False]))
        1.0
    """
    right = scores[~wrong].sort().values
    num_below, num_not_above = (
        torch.searchsorted(right, scores[wrong], right=side) for side in (False, True)
    )
    return float((num_below + num_not_above).double().mean() / (2 * len(right)))
