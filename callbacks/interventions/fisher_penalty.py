"""The Fisher information of batches kept small."""

from contextlib import AbstractContextManager
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from callbacks.clock import Clock
from callbacks.diagnostics.look import Look
from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.network_checks import check_not_compiled, check_on_blank_examples
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.fisher_penalty import fisher_penalty
from plasticity_lab.measurements.functional import detached_parameters, forward
from plasticity_lab.measurements.parameter_groups import trained_parameters
from plasticity_lab.measurements.predictive import Categorical
from plasticity_lab.randomness import generator


class FisherPenalty(LossPenalty):
    """Penalises the trace of the Fisher information from the start (Jastrzebski et al. 2021).

    https://arxiv.org/abs/2012.14193: strength times |mean over the batch of grad log p(y|x)|^2 over
    all trained parameters, where the targets y are drawn from the network's own predictive
    distribution. Its expectation is the trace of the batch's Fisher information divided by the
    size of the batch. The penalty is that of each step; nothing is reused between steps. The
    authors are said to refresh its gradient only every 10 steps, to save time.

    The penalty is in the loss that is minimised and in none that is logged. Changes: the gradient
    of the parameters. Keeps: normalisation statistics, the learning-rate clock, optimizer state
    (but for what gradients do to it).

    Args:
        levels: `{moment: strength}`, 0 or more; 0 is the identity.

    Raises:
        UserError: below 0, for a module that is no `Supervised`, a compiled network, one without
            second derivatives, or float16, in which its gradients underflow.

    Example:
        ```yaml
        class_path: callbacks.FisherPenalty
        init_args: {levels: {0ep: 0.1}}
        ```
    """

    _batch_idx = 0

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse networks without second derivatives, and float16."""
        super().check(trainer, module)
        check_not_compiled(
            "FisherPenalty", module, "a compiled network cannot be differentiated twice"
        )
        if str(trainer.precision).startswith("16"):
            raise UserError(
                "FisherPenalty: precision",
                value=trainer.precision,
                problem="its gradients underflow in float16",
                fix="use bf16-mixed",
            )
        check_on_blank_examples("FisherPenalty", trainer, module, _check_twice_differentiable)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._batch_idx = batch_idx

    def record(self, module: LightningModule) -> AbstractContextManager[None]:
        """Use the kernel of attention that has a second derivative."""
        kernel: AbstractContextManager[None] = sdpa_kernel(SDPBackend.MATH)
        return kernel

    def penalty(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor:
        """Return the squared norm of the batch's gradient for targets that are drawn."""
        clock = Clock.of(module.trainer)
        where = clock.now.epoch, self._batch_idx, module.global_rank
        draws = generator(clock.seed, "FisherPenalty", *where)
        objective: Any = module.objective
        predictive = objective.predictive
        targets = predictive.sample(outputs, draws)
        parameters = trained_parameters(unwrap(module)).values()
        return fisher_penalty(outputs, targets, parameters, predictive)


def _check_twice_differentiable(look: Look) -> None:
    """Raise UserError for a network through whose gradient nothing can be backpropagated."""
    parameters = detached_parameters(look.network)
    outputs = forward(look.network, parameters, look.probe.inputs)
    targets = Categorical().sample(outputs, generator(0, "FisherPenalty", "check"))
    try:
        fisher_penalty(outputs, targets, parameters.values()).backward()  # type: ignore[no-untyped-call]
    # torch says so of its own operations by RuntimeError, of others by NotImplementedError.
    except (NotImplementedError, RuntimeError) as error:
        problem = f"has no second derivative ({str(error).strip().splitlines()[0]})"
        raise UserError("network", problem=problem, fix="remove it") from error
