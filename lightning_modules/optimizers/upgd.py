"""Utility-based perturbed gradient descent."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from plasticity_lab.randomness import normal_like

_AVERAGES, _BETAS, _EPS = ("exp_avg", "exp_avg_sq"), (0.9, 0.999), 1e-5
"""Of the adaptive form."""


class UPGD(Optimizer):
    """Steps that spare useful weights and perturb useless ones (Elsayed & Mahmood 2024).

    Utility-based perturbed gradient descent, https://arxiv.org/abs/2404.00781, in its first-order
    form. The utility of a weight is an average of -gradient x weight, what the loss would rise by
    without it:

    ```text
    u <- beta u + (1 - beta) (-g w)
    s  = sigmoid(u / (1 - beta^t) / max u)             the maximum over all weights
    w <- (1 - lr decay) w - lr (g + sigma xi) (1 - s)  xi ~ N(0, 1)
    ```

    The maximum is that of the average before its bias is corrected, as in the released code; so
    utilities count for more in the first steps. Where all are negative the order is turned
    around, as there.

    Args:
        params: of a network.
        lr: rate, 0 or more.
        weight_decay: decoupled, 0 or more.
        beta: of the average utility, in [0, 1).
        sigma: standard deviation of the noise, 0 or more; 0 is none.
        utility: `global` as above; `local` compares the weights along the last axis (of one unit in
            a linear layer, of one row of a kernel), the average over its norm there.
        protect: whether useful weights are spared by gradients, too, or by the noise only.
        adaptive: whether g is Adam's direction (averages .9 and .999, eps 1e-5) and the step twice
            the rate, as the authors' AdaUPGD has it, and not the gradient.
        seed: of the noise; `Supervised` sets the run's. All ranks draw the same.

    Raises:
        ValueError: for numbers outside their ranges.

    Example:
        ```yaml
        optimizer:
          class_path: lightning_modules.optimizers.UPGD
          init_args: {lr: 0.01, weight_decay: 0.001, sigma: 0.001}
        ```
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-2,
        weight_decay: float = 0.0,
        beta: float = 0.999,
        sigma: float = 1e-3,
        utility: Literal["global", "local"] = "global",
        protect: bool = True,
        adaptive: bool = False,
        seed: int = 0,
    ) -> None:
        for name, number in (("lr", lr), ("weight_decay", weight_decay), ("sigma", sigma)):
            if not number >= 0:
                raise ValueError(f"{name} is 0 or more, not {number}")
        if not 0 <= beta < 1:
            raise ValueError(f"beta is in [0, 1), not {beta}")
        self.seed = seed
        settings = {"lr": lr, "weight_decay": weight_decay, "beta": beta, "sigma": sigma}
        kinds = {"utility": utility, "protect": protect, "adaptive": adaptive}
        # In the groups, since a reset of state must not let the noise come again.
        super().__init__(params, {**settings, **kinds, "steps": 0})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        trained = [
            (group, value)
            for group in self.param_groups
            for value in group["params"]
            if value.grad is not None
        ]
        if not trained:
            return loss
        for group, value in trained:
            state = self.state[value]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["utility"] = torch.zeros_like(value)
            state["step"] += 1
            state["utility"].lerp_(-value.grad * value, 1 - group["beta"])
        largest = torch.stack([self.state[value]["utility"].max() for _, value in trained]).max()
        largest = torch.where(largest == 0, 1, largest)  # all are 0, and stay so

        for group in self.param_groups:
            group["steps"] += 1
        for number, (group, value) in enumerate(trained):
            spared, noise = self._spared(group, value, largest), self._noise(group, value, number)
            direction = self._direction(value) if group["adaptive"] else value.grad
            if group["protect"]:
                change = (direction + noise) * (1 - spared)
            else:
                change = direction + noise * (1 - spared)
            value.mul_(1 - group["lr"] * group["weight_decay"])
            value.sub_(change, alpha=group["lr"] * (2 if group["adaptive"] else 1))
        return loss

    def _noise(self, group: dict[str, Any], value: Tensor, number: int) -> Tensor:
        noise = torch.zeros_like(value)
        if group["sigma"]:
            drawn = normal_like(value, self.seed, "UPGD", group["steps"], number)
            noise.copy_(drawn).mul_(group["sigma"])
        return noise

    def _direction(self, value: Tensor) -> Tensor:
        """Return Adam's direction."""
        state, gradient = self.state[value], cast(Tensor, value.grad)
        averages = [state.setdefault(name, torch.zeros_like(value)) for name in _AVERAGES]
        corrected: list[Tensor] = []
        for average, beta, new in zip(averages, _BETAS, (gradient, gradient**2), strict=True):
            average.lerp_(new, 1 - beta)
            corrected.append(average / (1 - beta ** float(state["step"])))
        first, second = corrected
        return first / (second.sqrt() + _EPS)

    def _spared(self, group: dict[str, Any], value: Tensor, largest: Tensor) -> Tensor:
        """Return how much a weight is spared, in (0, 1)."""
        state = self.state[value]
        utility = state["utility"] / (1 - group["beta"] ** float(state["step"]))
        if group["utility"] == "global":
            return torch.sigmoid(utility / largest)
        return torch.sigmoid(torch.nn.functional.normalize(utility, dim=-1))
