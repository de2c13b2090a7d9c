"""Adam that counts steps for each weight."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class PerWeightAdam(Optimizer):
    """Adam whose step counts are of single weights (`AdamGnT` in the code of Dohare et al. 2024).

    https://doi.org/10.1038/s41586-024-07711-7. What resets single units or weights (`ReDo`,
    `ContinualBackprop`, `SelfNormalizedReset`, and `SelectiveWeightReset` with `optimizer_state:
    reset`) clears the counts at their positions too, so that new weights take Adam's first steps
    again. torch's Adam counts for a whole parameter: the first step of new weights is 3.2 times the
    rate there.

    Args:
        params: of a network.
        lr: rate, 0 or more.
        betas: of the two averages, each in [0, 1).
        eps: in the denominator, above 0.
        weight_decay: added to the gradient times the weight, as in `torch.optim.Adam`; 0 or more.

    Raises:
        ValueError: for numbers outside their ranges.

    Example:
        ```yaml
        optimizer:
          class_path: lightning_modules.optimizers.PerWeightAdam
          init_args: {lr: 0.001}
        ```
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        for name, number in (("lr", lr), ("weight_decay", weight_decay)):
            if not number >= 0:
                raise ValueError(f"{name} is 0 or more, not {number}")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas are in [0, 1), not {betas}")
        if not eps > 0:
            raise ValueError(f"eps is above 0, not {eps}")
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for value in group["params"]:
                if value.grad is not None:
                    self._update(group, value)
        return loss

    def _update(self, group: dict[str, Any], value: Tensor) -> None:
        state, (first, second) = self.state[value], group["betas"]
        if not state:
            # By this name torch restores it as it is, not in the dtype of weights: bfloat16 cannot
            # count beyond 256.
            state["step"] = torch.zeros_like(
                value, dtype=torch.promote_types(value.dtype, torch.float32)
            )
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(value)
        assert value.grad is not None
        gradient = value.grad.add(value, alpha=group["weight_decay"])
        state["step"] += 1
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].lerp_(gradient.square(), 1 - second)
        mean = state["exp_avg"] / (1 - first ** state["step"])
        square = state["exp_avg_sq"] / (1 - second ** state["step"])
        value.sub_(mean / (square.sqrt() + group["eps"]), alpha=group["lr"])
