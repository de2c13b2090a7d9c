"""What a network is trained for: everything that depends on the task."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric, R2Score

from lightning_modules.epoch_metrics import Accuracy
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.predictive import Categorical, Gaussian, Predictive


class Objective(ABC):
    """Loss, predictive distribution and metrics of a task.

    Diagnostics measure what the objective of the trained module says. Your own: subclass, and name
    it in YAML as `objective` of `lightning_modules.Supervised`, or set `self.objective` in your own
    module.
    """

    def check(self, targets: Tensor, classes: int | None) -> None:  # noqa: B027  # most learn anything
        """Raise UserError for targets that cannot be learned.

        Args:
            targets: of the training split, (examples, …).
            classes: number of classes; None for another task than classification.
        """

    def metrics(self) -> Mapping[str, Metric]:
        """Return what is logged besides the loss, by name.

        Each is updated by `(outputs, targets)` and has tensors as states, so that a run resumed
        inside an epoch logs the whole epoch.
        """
        return {}

    def predictions(self, outputs: Tensor) -> Tensor:
        """Return what `predict` writes of outputs, (batch, outputs), in float32."""
        return outputs.float()

    @property
    @abstractmethod
    def predictive(self) -> Predictive:
        """The distribution of targets given outputs, from which Fisher information draws."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss that training minimises, a scalar: the mean over a batch."""

    @abstractmethod
    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each example, (batch,), without regularisation such as smoothing."""

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of `per_example_loss`, a scalar: what evaluation and diagnostics see."""
        return self.per_example_loss(outputs, targets).mean()

    @abstractmethod
    def target_matrix(self, targets: Tensor, num_outputs: int) -> Tensor:
        """Return targets as outputs that would fit them, (batch, num_outputs)."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """Return the mean of the predictive distribution as such a matrix, (batch, num_outputs)."""


class Classification(Objective):
    """Cross-entropy of logits (batch, classes) and class numbers, int64 (batch,).

    Args:
        label_smoothing: in [0, 1), in training only; 0 is none.

    Raises:
        UserError: for another label smoothing.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise UserError("label_smoothing", value=label_smoothing, fix="set a number in [0, 1)")
        self.label_smoothing = label_smoothing

    def check(self, targets: Tensor, classes: int | None) -> None:
        """Refuse targets that are not classes."""
        if classes is None:
            raise UserError(
                "objective",
                value="Classification",
                problem="the data have no classes",
                fix="use lightning_modules.Supervised with objective: Regression",
            )

    def metrics(self) -> Mapping[str, Metric]:
        """Return the accuracy."""
        return {"accuracy": Accuracy()}

    def predictions(self, outputs: Tensor) -> Tensor:
        """Return class probabilities, (batch, classes)."""
        return outputs.float().softmax(1)

    @property
    def predictive(self) -> Predictive:
        """Classes with the probabilities of the softmax."""
        return Categorical()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy with label smoothing."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each example, (batch,)."""
        return F.cross_entropy(outputs, targets, reduction="none")

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy."""
        return F.cross_entropy(outputs, targets)

    def target_matrix(self, targets: Tensor, num_outputs: int) -> Tensor:
        """Return one-hot labels, int64 (batch, classes)."""
        return F.one_hot(targets, num_outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        """Return class probabilities, (batch, classes)."""
        return outputs.softmax(1)


class R2(R2Score):
    """Fraction of the targets' variance that outputs explain, the mean over values."""

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Add a batch: outputs (batch, numbers) and targets, (batch, numbers) or (batch,)."""
        super().update(outputs.float(), targets.view(outputs.shape).float())


class Regression(Objective):
    """Squared error of real-valued targets, float (batch,) or (batch, numbers).

    The loss is torch's `mse_loss`: the mean over examples and over the numbers of a target, without
    a factor 1/2. The predictive distribution is Gaussian with variance 1 in every number, so that
    Fisher information is the mean of J'J whatever the loss is scaled by; the Hessian of the loss of
    a network that fits its targets is 2 J'J / numbers.

    Examples:
        >>> Regression().loss(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]))
        tensor(2.)
    """

    def check(self, targets: Tensor, classes: int | None) -> None:
        """Refuse classes, and targets that are not floating-point numbers."""
        if classes is not None or not targets.dtype.is_floating_point or targets.ndim > 2:
            actual = f"{classes} classes" if classes else f"{targets.dtype} {tuple(targets.shape)}"
            raise UserError(
                "objective",
                value="Regression",
                problem=(
                    f"targets are {actual}, not floating-point (examples,) or (examples, numbers)"
                ),
                fix="give such targets, or use Classification",
            )

    def metrics(self) -> Mapping[str, Metric]:
        """Return the coefficient of determination."""
        return {"r2": R2()}

    @property
    def predictive(self) -> Predictive:
        """A Gaussian with mean `outputs` and variance 1."""
        return Gaussian()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error."""
        return F.mse_loss(outputs, targets.view(outputs.shape))

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the squared error of each example, the mean over its numbers, (batch,)."""
        return F.mse_loss(outputs, targets.view(outputs.shape), reduction="none").flatten(1).mean(1)

    def target_matrix(self, targets: Tensor, num_outputs: int) -> Tensor:
        """Return the targets, (batch, num_outputs)."""
        return targets.view(-1, num_outputs)

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the outputs."""
        return outputs


class SquaredError(Objective):
    """Squared error of class labels: outputs (batch, classes) and one-hot labels less 1 / classes.

    As in Lee et al. 2020, https://arxiv.org/abs/2007.15801: half the sum over classes, the mean
    over examples, so that by the neural tangent kernel a step of descent changes the outputs by
    (rate / examples) times the kernel times the error. The predictive distribution is Gaussian with
    variance 1 in every output.

    Examples:
        >>> SquaredError().loss(torch.tensor([[0.5, -0.5], [0.5, -0.5]]), torch.tensor([0, 1]))
        tensor(0.5000)
    """

    def check(self, targets: Tensor, classes: int | None) -> None:
        """Refuse targets that are not classes."""
        if classes is None:
            raise UserError(
                "objective",
                value="SquaredError",
                problem="the data have no classes",
                fix="use Regression",
            )

    def metrics(self) -> Mapping[str, Metric]:
        """Return the accuracy."""
        return {"accuracy": Accuracy()}

    @property
    def predictive(self) -> Predictive:
        """A Gaussian with mean `outputs` and variance 1."""
        return Gaussian()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return half the squared distance, the mean over examples."""
        return self.per_example_loss(outputs, targets).mean()

    def per_example_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return half the squared distance of each example, (batch,)."""
        return (outputs - self.target_matrix(targets, outputs.shape[1])).square().sum(1) / 2

    def target_matrix(self, targets: Tensor, num_outputs: int) -> Tensor:
        """Return one-hot labels less 1 / classes, float (batch, classes)."""
        return F.one_hot(targets, num_outputs) - 1 / num_outputs

    def mean(self, outputs: Tensor) -> Tensor:
        """Return the outputs."""
        return outputs
