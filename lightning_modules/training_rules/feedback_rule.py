"""Rules whose networks pass other signals back than gradients."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from lightning_modules.loss_terms import loss_terms
from lightning_modules.training_rules.training_rule import TrainingRule
from plasticity_lab.errors import UserError


class FeedbackRule(TrainingRule):
    """A rule that changes the graph of the training pass, and nothing else.

    What is drawn for it is fixed, keyed by the run's seed and a layer's name: no parameter, in no
    checkpoint, the same on all ranks and after a resume.

    Args:
        layers: names or patterns of the layers that it acts on; None is the rule's own choice.

    Raises:
        UserError: for an empty list.
    """

    def __init__(self, layers: list[str] | None) -> None:
        if layers == []:
            raise UserError("layers", value="[]", fix="name layers, or remove it")
        self.layers = layers
        self._drawn: dict[tuple[object, ...], Tensor] = {}

    def backward(self, network: nn.Module, loss: Tensor, loss_again: Callable[[], Tensor]) -> None:
        """Pass the signals back."""
        loss.backward()  # type: ignore[no-untyped-call]

    def fixed(
        self, name: str, shape: Sequence[int], like: Tensor, draw: Callable[[], Tensor]
    ) -> Tensor:
        """Return what is drawn for a layer, once.

        Args:
            name: of the layer.
            shape: of what is drawn.
            like: its device and precision, which is float32 or more.
            draw: draws it.
        """
        dtype = torch.promote_types(like.dtype, torch.float32)
        key = self.seed, name, *shape, like.device, dtype
        if key not in self._drawn:
            self._drawn[key] = draw().to(like.device, dtype)
        return self._drawn[key]

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse compiled networks, terms of the loss beyond the outputs, and unknown layers."""
        who = type(self).__name__
        network: Any = module.network
        if network._compiled_call_impl is not None:
            raise UserError(
                who, problem="a compiled network has no hooks", fix="set compile: false"
            )
        for term in loss_terms(trainer):
            if not term.of_outputs:
                raise UserError(
                    type(term).__name__,
                    problem=f"its term of the loss needs true gradients, and the rule is {who}",
                    fix="remove one of them",
                )
        self._check_layers(trainer, network)

    def _check_layers(self, trainer: Trainer, network: nn.Module) -> None:
        """Pass two inputs of zeros through a copy of the network, where their shape is known."""
        data: Any = getattr(trainer, "datamodule", None)
        splits = getattr(data, "splits", None)
        twin = copy.deepcopy(network).cpu()
        forward_pass = self.forward_pass(twin)
        if splits is None:
            return
        own = next(tensor.dtype for tensor in twin.parameters())
        inputs = torch.zeros(2, *splits.train.shape, dtype=own)
        with torch.random.fork_rng(devices=[]), forward_pass:
            twin(inputs)
        # On a GPU they would only take room.
        self._drawn.clear()
