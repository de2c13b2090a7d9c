"""Which units continual backpropagation replaces (Dohare et al. 2024)."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class UnitUtility:
    """What continual backpropagation keeps of the units of a layer, each (units,).

    Attributes:
        utility: running mean of the utility, not corrected for its start at 0.
        mean: running mean of the activation, likewise.
        age: steps since the unit began, int64 on the CPU.
        replacements: units due to be replaced, of which the whole part is.
    """

    utility: Tensor
    mean: Tensor
    age: Tensor
    replacements: float = 0.0

    @staticmethod
    def fresh(count: int, device: torch.device | str = "cpu") -> "UnitUtility":
        """Return that of units that have just begun.

        Examples:
            >>> UnitUtility.fresh(3).age
            tensor([0, 0, 0])
        """
        zeros = torch.zeros(2, count, device=device, dtype=torch.float32)
        return UnitUtility(zeros[0], zeros[1].clone(), torch.zeros(count, dtype=torch.int64))


def mean_activation(known: UnitUtility, mean: Tensor, decay: float) -> Tensor:
    """Return the running mean of each unit's activation with one more step, corrected, (units,).

    Args:
        known: what is known before the step; it is left alone.
        mean: of the activations of the step, (units,).
        decay: of the running mean, in [0, 1).

    Examples:
        >>> mean_activation(UnitUtility.fresh(2), torch.tensor([1.0, 2.0]), decay=0.5)
        tensor([1., 2.])
    """
    corrections = 1 - decay ** (known.age + 1).float()
    return (decay * known.mean + (1 - decay) * mean) / corrections.to(mean.device)


@torch.no_grad()
def update_utility(known: UnitUtility, utility: Tensor, mean: Tensor, decay: float) -> None:
    """Let units grow older by a step, in place.

    Args:
        known: what is known of them.
        utility: in the step, (units,): of contribution `mean |h| * mean |w_out|`, of the adaptable
            kind `mean |h - mean_activation| * mean |w_out| / mean |w_in|`.
        mean: of their activations in the step, (units,).
        decay: of running means, in [0, 1).

    Examples:
        >>> known = UnitUtility.fresh(2)
        >>> update_utility(known, torch.tensor([1.0, 2.0]), torch.zeros(2), decay=0.5)
        >>> known.age, corrected_utility(known, decay=0.5)
        (tensor([1, 1]), tensor([1., 2.]))
    """
    known.age += 1
    known.utility.mul_(decay).add_(utility, alpha=1 - decay)
    known.mean.mul_(decay).add_(mean, alpha=1 - decay)


def corrected_utility(known: UnitUtility, decay: float) -> Tensor:
    """Return the running mean of the utility without the influence of its start, (units,).

    Args:
        known: of units that are a step old at least.
        decay: of the running mean.

    Examples:
        >>> known = UnitUtility.fresh(2)
        >>> update_utility(known, torch.tensor([1.0, 2.0]), torch.zeros(2), decay=0.5)
        >>> corrected_utility(known, decay=0.5)
        tensor([1., 2.])
    """
    return known.utility / (1 - decay ** known.age.float()).to(known.utility.device)


@torch.no_grad()
def choose_replaced(
    known: UnitUtility,
    rate: float,
    maturity: int,
    decay: float,
    draws: torch.Generator | None = None,
) -> Tensor | None:
    """Return which units are to be replaced, bool (units,) on the CPU; None of none.

    They are those of lowest utility among the mature ones, and begin anew in `known`. In each step
    `rate` of the mature units are due; what is less than a whole unit is kept for later steps, or
    with `draws` not kept: below one, a unit is due with that probability, else the whole part is.

    Args:
        known: what is known of them; those chosen have age, utility and mean 0 afterwards.
        rate: of replacement, in [0, 1]; 0 replaces none.
        maturity: steps that a unit must be older than.
        decay: of running means.
        draws: in place of keeping parts of units.

    Examples:
        >>> known = UnitUtility.fresh(2)
        >>> update_utility(known, torch.tensor([1.0, 2.0]), torch.zeros(2), decay=0.9)
        >>> choose_replaced(known, rate=0.5, maturity=0, decay=0.9)
        tensor([ True, False])
    """
    mature = known.age > maturity
    due = rate * int(mature.sum())
    if draws is None:
        known.replacements += due
        count = min(int(known.replacements), int(mature.sum()))
        known.replacements -= count
    else:
        count = int(due) if due >= 1 else int(torch.rand((), generator=draws) < due)
    if count == 0:
        return None
    utility = corrected_utility(known, decay).cpu()
    lowest = utility.masked_fill(~mature, torch.inf).argsort(stable=True)[:count]
    chosen = torch.zeros(len(mature), dtype=torch.bool)
    chosen[lowest] = True

    known.age[chosen] = 0
    marks = chosen.to(known.utility.device)
    known.utility.masked_fill_(marks, 0)
    known.mean.masked_fill_(marks, 0)
    return chosen
