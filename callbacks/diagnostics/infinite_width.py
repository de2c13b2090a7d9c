"""What the network would have learned if its layers were infinitely wide."""

from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor
from torch.optim import SGD, Optimizer

from callbacks.clock import Clock
from callbacks.diagnostics.base import Measured, ProbeDiagnostic
from callbacks.diagnostics.look import Look
from callbacks.diagnostics.run_look import multiplied
from callbacks.probe import Probe
from lightning_modules.networks import CentredNetwork, WideNetwork
from lightning_modules.objectives import Regression, SquaredError
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.infinite_reference import InfiniteReference, infinite_reference
from plasticity_lab.measurements.kernel_regression import Steps


@dataclass(repr=False, eq=False, kw_only=True)
class InfiniteWidthReference(ProbeDiagnostic):
    """Distance to the predictions of the infinitely wide network, and how well those do.

    Lee et al. 2020, https://arxiv.org/abs/2007.15801. For a `WideNetwork`, or a `CentredNetwork` of
    one, on squared error, by SGD of one rate without momentum. Tags, all of the test split:

    * `infinite_width/difference`: root mean square, over examples and outputs, of the outputs less
      those of the infinitely wide network after the same steps of full-batch gradient descent, from
      outputs of 0; `infinite_width/difference_converged`: less those that it converges to.
    * `infinite_width/error`, `…/nngp_error`, `…/ntk_error`: mean squared error of the outputs, and
      of kernel regression with the NNGP kernel and the NTK; for classes also `…/accuracy`,
      `…/nngp_accuracy`, `…/ntk_accuracy`.
    * `infinite_width/nngp_regularisation`, `…/ntk_regularisation`: of the kernels, relative to the
      mean of their diagonals; chosen by squared error on a fifth of the training examples.

    The kernels are of all training examples of the first data stage, as inputs without augmentation
    and deficits, in float64; in later stages nothing is logged. `difference` counts the steps of
    the run since it began, at the rates that they were taken, and is left out where some were not
    followed, and where the infinitely wide network diverges beyond float32. Weight decay is no part
    of the infinitely wide network, whatever the optimizer's is. The kernels are computed once in a
    session: seconds for 1,000 examples of `dense`; of convolutions that times the positions of an
    image (`flatten`), or their square (`average`).

    Batch norm: statistics are estimated on the probe, as `ProbeDiagnostic` says; the paper's
    networks have none.

    Args:
        examples: at least as many as there are training examples in the first data stage.
        test_examples: of the test split; all, if there are no more.
        regularisations: candidates, relative to the mean of the diagonal.

    Raises:
        UserError: for another network, objective or optimizer, and for fewer examples.

    Example:
        ```yaml
        class_path: callbacks.InfiniteWidthReference
        init_args: {every: 10ep, examples: 1000}
        ```
    """

    charts = ("infinite_width/difference", "infinite_width/difference_converged")
    tags = (
        *charts,
        "infinite_width/accuracy",
        "infinite_width/error",
        "infinite_width/nngp_accuracy",
        "infinite_width/nngp_error",
        "infinite_width/nngp_regularisation",
        "infinite_width/ntk_accuracy",
        "infinite_width/ntk_error",
        "infinite_width/ntk_regularisation",
    )
    follows_examples = True

    impaired: bool = field(default=False, init=False)
    test_examples: int = 1000
    regularisations: tuple[float, ...] = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0)

    def __post_init__(self) -> None:
        """Check the arguments."""
        super().__post_init__()
        if self.test_examples < 1:
            raise UserError("test_examples", value=self.test_examples, fix="set 1 or more")
        self.regularisations = tuple(self.regularisations)
        if not self.regularisations or min(self.regularisations) < 0:
            raise UserError(
                "regularisations", value=list(self.regularisations), fix="name some, 0 or more"
            )

    def begin(self) -> None:
        """Follow nothing yet."""
        super().begin()
        self._reference: InfiniteReference | None = None
        self._steps: list[Steps] = []

    def check(self, look: Look) -> None:
        """Refuse what has no closed form, and training on more examples than the probe has."""
        _wide(look)
        _rate_factor(look)
        if look.stage_members is None or look.test_probe is None:
            raise UserError("data", problem="is not datamodules.ImageDataModule", fix="remove it")
        members = len(look.stage_members(0))
        if members > self.examples:
            raise UserError(
                "examples",
                value=self.examples,
                problem=f"training begins with {members}",
                fix=f"set {members} or more, or a smaller subset of the data",
            )
        optimizer = look.make_optimizer(look.network)
        groups = optimizer.param_groups
        rates = {float(group["lr"]) for group in groups}
        plain = isinstance(optimizer, SGD) and not any(group["momentum"] for group in groups)
        if not plain or len(rates) > 1:
            raise UserError(
                "optimizer",
                value=type(optimizer).__name__,
                problem="has no closed form",
                fix="set torch.optim.SGD of one rate with momentum 0",
            )

    def measure(self, look: Look) -> Measured:
        """Return differences, errors and accuracies."""
        if look.stage > 0:
            return {}
        assert look.test_probe is not None
        test = look.test_probe(self.test_examples)
        if self._reference is None:
            self._reference = self._build(look, test)
        reference = self._reference
        with torch.no_grad():
            outputs = look.network(test.inputs).double()

        # Distances to what the infinitely wide network does at this time, and at last.
        name = "infinite_width/difference"
        measured = {f"{name}_converged": _distance(outputs, reference.predict())}
        if sum(steps.taken for steps in self._steps) == look.step:
            factor = _rate_factor(look)
            steps = [Steps(factor * rate, taken) for rate, taken in self._steps]
            distance = _distance(outputs, reference.predict(steps))
            # At a rate that is too high for it the infinitely wide network diverges, beyond the
            # float32 of event files at last.
            if distance < torch.finfo(torch.float32).max:
                measured[name] = distance

        # How well each does.
        targets = look.objective.target_matrix(test.targets, outputs.shape[1]).double()
        kernels = {"nngp_": reference.nngp, "ntk_": reference.ntk}
        predictions = {which: found.predictions for which, found in kernels.items()}
        for which, predicted in {"": outputs, **predictions}.items():
            error = (predicted - targets).square().mean()
            measured[f"infinite_width/{which}error"] = float(error)
            if isinstance(look.objective, SquaredError):
                right = predicted.argmax(1) == test.targets
                measured[f"infinite_width/{which}accuracy"] = float(right.double().mean())
        for which, found in kernels.items():
            measured[f"infinite_width/{which}regularisation"] = found.regularisation
        return measured

    def _build(self, look: Look, test: Probe) -> InfiniteReference:
        """Compute the kernels of the examples that training begins with."""
        assert look.stage_members is not None
        members = look.stage_members(0).to(look.probe.indices.device)
        trained = torch.isin(look.probe.indices, members)
        if int(trained.sum()) < len(members):
            raise UserError(
                "InfiniteWidthReference: examples",
                value=self.examples,
                problem="does not hold all examples of the first data stage",
                fix="set the size of the training split",
            )
        # In the order of the data, whatever that of the probe is.
        order = look.probe.indices[trained].argsort()
        inputs, targets = look.probe.inputs[trained][order], look.probe.targets[trained][order]
        shuffled = torch.randperm(len(inputs), generator=look.generator("infinite width"))
        held_out = (shuffled < len(inputs) // 5).to(inputs.device)
        outputs = look.outputs().shape[1]
        matrix = look.objective.target_matrix(targets, outputs).double()
        network = _wide(look).infinite
        return infinite_reference(
            network, inputs, matrix, test.inputs, held_out, self.regularisations
        )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        rate = multiplied(float(optimizer.param_groups[0]["lr"]), trainer, Clock.of(trainer).now)
        assert rate is not None
        if self._steps and self._steps[-1].rate == rate:
            self._steps[-1] = Steps(rate, self._steps[-1].taken + 1)
        else:
            self._steps.append(Steps(rate, 1))

    @property
    def needs_history(self) -> bool:
        """Whether one moment is not enough: every step counts."""
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return the steps that were taken."""
        return {"steps": [list(steps) for steps in self._steps]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a checkpoint's steps."""
        self._steps = [Steps(rate, taken) for rate, taken in state_dict["steps"]]


def _distance(first: Tensor, second: Tensor) -> float:
    return float((first - second).square().mean().sqrt())


def _wide(look: Look) -> WideNetwork:
    """Return the network whose limit is known."""
    network = look.network
    inner = network.network if isinstance(network, CentredNetwork) else network
    if not isinstance(inner, WideNetwork):
        raise UserError(
            "network",
            value=type(network).__name__,
            problem="its infinitely wide limit is not known",
            fix="set a WideNetwork, or a CentredNetwork of one",
        )
    return inner


def _rate_factor(look: Look) -> float:
    """Return by how much the loss is more than 1/2 of the mean squared distance."""
    if isinstance(look.objective, SquaredError):
        return 1.0
    if isinstance(look.objective, Regression):
        return 2 / look.outputs().shape[1]
    name = type(look.objective).__name__
    raise UserError(
        "objective",
        value=name,
        problem="is not squared error",
        fix="set SquaredError or Regression",
    )
