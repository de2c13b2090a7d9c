"""How a run spends its learning rate and its weight decay over time.

It decides whether times can be scaled as a whole.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple


class Budget(NamedTuple):
    """A run's schedule in numbers.

    Attributes:
        steps: optimizer steps.
        first: learning rate of the first step.
        last: learning rate of the last step.
        after: for each switch its step, and the share in [0, 1] of the rate's sum over steps that
            lies at or after it.
        decay: sum over steps of weight decay times rate; None for an optimizer without weight
            decay.
    """

    steps: int
    first: float
    last: float
    after: dict[str, tuple[int, float]]
    decay: float | None


def share_after(rates: Sequence[float], step: int) -> float:
    """Return the share of the sum of rates at or after a step, in [0, 1]; 0 if all are 0.

    Args:
        rates: learning rate of each optimizer step.
        step: number of the first step that counts; 0 is the whole.
    """
    total = sum(rates)
    return sum(rates[step:]) / total if total else 0.0


def decay_sum(rates: Sequence[float], decays: Sequence[float]) -> float:
    """Return the sum over steps of weight decay times rate.

    Weights without a gradient shrink to about exp of minus it.
    """
    return sum(rate * decay for rate, decay in zip(rates, decays, strict=True))


def budget(
    rates: Sequence[float], decays: Sequence[float] | None, switches: Mapping[str, int]
) -> Budget:
    """Return a run's schedule in numbers.

    Args:
        rates: learning rate of each optimizer step, at least one.
        decays: weight decay of each step; None for an optimizer without it.
        switches: what changes, and the step before which it does.
    """
    after = {name: (step, share_after(rates, step)) for name, step in switches.items()}
    return Budget(
        len(rates), rates[0], rates[-1], after, None if decays is None else decay_sum(rates, decays)
    )


def lines(budget: Budget, epochs: int) -> list[str]:
    """Return a run's budget as lines of text; switches at the same step stand in one line.

    Args:
        budget: the budget.
        epochs: epochs of the run.
    """
    decay = "" if budget.decay is None else f"; sum of weight decay x rate {budget.decay:.2g}"
    rate = f"learning rate {budget.first:.3g} to {budget.last:.3g}"
    text = [f"{epochs} epochs, {budget.steps} steps; {rate}{decay}"]
    ordered = sorted(budget.after.items(), key=lambda entry: entry[1])
    for (step, share), group in groupby(ordered, key=lambda entry: entry[1]):
        text.append(
            f"{share:.1%} of the rate's sum after step {step}: "
            f"{', '.join(name for name, _ in group)}"
        )
    return text
