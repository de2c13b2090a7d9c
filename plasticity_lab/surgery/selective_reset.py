"""Single weights of low utility that begin anew (Hernandez-Garcia et al. 2025)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from plasticity_lab.surgery.optimizer_state import clear_optimizer_state


def lowest_share(utility: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return the weights of lowest utility, bool of its shape.

    Args:
        utility: of the weights of a parameter.
        share: of its weights, in [0, 1]. What is less than a whole weight is chosen with that
            probability.
        generator: on the CPU.

    Examples:
        >>> lowest_share(torch.tensor([3.0, 1.0, 2.0, 4.0]), 0.5, torch.Generator())
        tensor([False,  True,  True, False])
    """
    number = share * utility.numel()
    count = int(number)
    if number > count:
        count += int(torch.rand((), generator=generator) < number - count)
    chosen = torch.zeros(utility.numel(), dtype=torch.bool, device=utility.device)
    chosen[utility.flatten().argsort(stable=True)[:count]] = True
    return chosen.view(utility.shape)


def below_mean(utility: Tensor, factor: float) -> Tensor:
    """Return the weights whose utility is at most `factor` times the mean, bool of its shape.

    Args:
        utility: of the weights of a parameter.
        factor: 0 or more; 0 chooses weights without any utility.

    Examples:
        >>> below_mean(torch.tensor([3.0, 1.0, 2.0, 4.0]), 0.5)
        tensor([False,  True, False, False])
    """
    return utility <= factor * utility.mean()


@torch.no_grad()
def initial_means(fresh: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the means of the distributions that parameters are drawn from.

    They are the value of what is drawn as a constant (scales of normalisation; of a single value, 0
    and 1 only), and 0 of all else, which the usual rules draw around 0.

    Args:
        fresh: a draw of each parameter, by name.

    Examples:
        >>> fresh = {"scale": torch.ones(2), "weight": torch.tensor([0.3, -0.1])}
        >>> initial_means(fresh)
        {'scale': tensor([1., 1.]), 'weight': tensor([0., 0.])}
    """
    means = {}
    for name, value in fresh.items():
        constant = value.numel() > 0 and bool((value == value.flatten()[0]).all())
        if value.numel() == 1:
            constant = value.item() in (0, 1)
        means[name] = value if constant else torch.zeros_like(value)
    return means


@torch.no_grad()
def reset_weights(
    parameters: Mapping[str, nn.Parameter],
    masks: Mapping[str, Tensor],
    values: Mapping[str, Tensor],
    optimizers: Iterable[Optimizer] = (),
) -> int:
    """Set single weights to new values, in place.

    Changes: the chosen weights; their moments in the given optimizers, to 0. Keeps: all others, and
    step counts.

    Args:
        parameters: by name.
        masks: which weights, bool of the parameters' shapes, by the same names.
        values: of the same shapes: a fresh draw (`redraw`), or `initial_means` of it.
        optimizers: whose moments are cleared; none keep them.

    Returns:
        how many weights were reset.

    Examples:
        >>> network = nn.Linear(2, 1)
        >>> masks = {"weight": torch.tensor([[True, False]])}
        >>> values = {"weight": torch.zeros(1, 2)}
        >>> reset_weights(dict(network.named_parameters()), masks, values)
        1
    """
    changed: dict[nn.Parameter, Tensor] = {}
    for name, mask in masks.items():
        parameter = parameters[name]
        here = mask.to(parameter.device)
        parameter.copy_(torch.where(here, values[name].to(parameter), parameter))
        changed[parameter] = here
    for optimizer in optimizers:
        clear_optimizer_state(optimizer, changed)
    return sum(int(mask.sum()) for mask in masks.values())
