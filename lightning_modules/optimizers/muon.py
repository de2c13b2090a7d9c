"""Muon for matrices and kernels, AdamW for all else, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

_MATRICES, _OTHERS = 0, 1
"""Places of the two parameter groups."""


class MuonAdamW(Optimizer):
    """Muon for hidden matrices and kernels, AdamW for all else (Jordan et al. 2024).

    https://kellerjordan.github.io/posts/muon/

    `torch.optim.Muon` orthogonalises the momentum of matrices. Kernels (outputs, inputs, height,
    width) are matrices (outputs, inputs x height x width) to it. AdamW's are biases, scales and
    shifts, what has one row (class tokens), what is frozen, and the last matrix, which is the
    head's in a network that lists its layers from bottom to top. The update is scaled to the size
    of AdamW's (0.2 x the square root of the larger side, Liu et al. 2025,
    https://arxiv.org/abs/2502.16982), so that one rate serves both.

    Args:
        params: of a network, bottom to top.
        lr: rate, 0 or more.
        weight_decay: decoupled, of all parameters, 0 or more.
        momentum: of Muon, in [0, 1).
        betas: of AdamW.
        eps: of AdamW.
        ns_steps: Newton-Schulz iterations of Muon.

    Raises:
        ValueError: without a matrix besides the head's, or for numbers outside their ranges.

    Example:
        ```yaml
        optimizer:
          class_path: lightning_modules.optimizers.MuonAdamW
          init_args: {lr: 0.001, weight_decay: 0.01}
        ```
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        ns_steps: int = 5,
    ) -> None:
        parameters = list(params)
        trained = [value for value in parameters if value.requires_grad and value.ndim > 1]
        matrices = [value for value in trained if len(value) > 1][:-1]
        if not matrices:
            raise ValueError("MuonAdamW needs a matrix or kernels besides the head's")
        known = {id(value) for value in matrices}
        others = [value for value in parameters if id(value) not in known]

        # Each checks its own numbers; what it says of itself is not needed any more.
        muon = {"momentum": momentum, "ns_steps": ns_steps}
        adamw = {"betas": betas, "eps": eps}
        common = {"lr": lr, "weight_decay": weight_decay}
        Muon([torch.zeros(1, 1)], **common, **muon)  # type: ignore[arg-type]
        AdamW([torch.zeros(1)], **common, **adamw)  # type: ignore[arg-type]
        groups = [{"params": matrices, **muon}, {"params": others, **adamw}]
        super().__init__(groups, common)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step of each."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._step_matrices(self.param_groups[_MATRICES])
        self._step_others(self.param_groups[_OTHERS])
        return loss

    def _step_matrices(self, group: dict[str, Any]) -> None:
        trained = [value for value in group["params"] if value.grad is not None]
        if not trained:
            return
        # Muon takes matrices only, and kernels may be stored channels last.
        matrices = [value.detach().flatten(1).clone() for value in trained]
        settings = {key: group[key] for key in ("lr", "weight_decay", "momentum", "ns_steps")}
        muon = Muon(matrices, **settings, adjust_lr_fn="match_rms_adamw")
        for value, matrix in zip(trained, matrices, strict=True):
            matrix.grad = value.grad.flatten(1)
            if "momentum_buffer" in self.state[value]:
                kept = self.state[value]["momentum_buffer"].flatten(1).clone()
                muon.state[matrix]["momentum_buffer"] = kept
        muon.step()  # type: ignore[no-untyped-call]

        for value, matrix in zip(trained, matrices, strict=True):
            value.copy_(matrix.view_as(value))
            momentum = muon.state[matrix]["momentum_buffer"].view(value.shape)
            buffer = self.state[value].setdefault("momentum_buffer", torch.zeros_like(value))
            buffer.copy_(momentum)

    def _step_others(self, group: dict[str, Any]) -> None:
        settings = {key: group[key] for key in ("lr", "weight_decay", "betas", "eps")}
        adamw = AdamW(group["params"], **settings)
        adamw.state = self.state
        adamw.step()
