"""Penalties on the last hidden features."""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.interventions.loss_penalty import LossPenalty
from callbacks.interventions.network_checks import check_not_compiled, check_on_blank_examples
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.features import (
    check_last_layer,
    last_layer,
    record_last_features,
)


class FeaturePenalty(LossPenalty):
    """A penalty on the last hidden features, as the forward pass of training makes them."""

    _features: Tensor | None = None

    @abstractmethod
    def feature_penalty(self, module: LightningModule, batch: Any, features: Tensor) -> Tensor:
        """Return the penalty at strength 1, a scalar.

        Args:
            module: what is trained.
            batch: (inputs, targets, …).
            features: what the last layer was given, float32 (examples, features), with their graph.
        """

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse networks without last features, and compiled ones, which hide them."""
        super().check(trainer, module)
        name = type(self).__name__
        check_not_compiled(name, module, "a compiled network hides its features")
        try:
            last_layer(unwrap(module))
        except UserError as error:
            raise error.within(name) from error
        check_on_blank_examples(
            name, trainer, module, lambda look: check_last_layer(look.network, look.probe.inputs)
        )

    @contextmanager
    def record(self, module: LightningModule) -> Iterator[None]:
        """Record the last features."""
        with record_last_features(unwrap(module)) as features:
            yield
        self._features = features[-1].float()

    def penalty(self, module: LightningModule, batch: Any, outputs: Tensor) -> Tensor:
        """Return the penalty of the features that were recorded."""
        features, self._features = self._features, None
        assert features is not None
        return self.feature_penalty(module, batch, features)
