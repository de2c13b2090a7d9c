"""What a network is trained for: everything that depends on the task."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.nn import functional as F

from plasticity_lab.errors import UserError
from plasticity_lab.measurements.predictive import Categorical, Predictive


class Objective(ABC):
    """Loss, predictive distribution and metrics of a task.

    Diagnostics measure what the objective of the trained module says. Your own: subclass, and set
    `self.objective` in your module.
    """

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
