"""Single weights of low utility that begin anew."""

from typing import Any, ClassVar, Literal

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from callbacks.interventions.base import Draws, OneShot, log
from callbacks.interventions.redraw_checks import check_can_redraw
from callbacks.interventions.scaled_gradients import check_gradients_unscaled
from callbacks.network import unwrap
from plasticity_lab.errors import UserError
from plasticity_lab.schedule import Answer
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_selection import (
    layers_with_state,
    own_parameters,
    select_layers,
)
from plasticity_lab.surgery.selective_reset import (
    below_mean,
    initial_means,
    lowest_share,
    reset_weights,
)
from plasticity_lab.timing import Position, Time

WATCHES = "watches gradients"


class SelectiveWeightReset(OneShot):
    """Lets the weights of lowest utility begin anew (Hernandez-Garcia et al. 2025).

    Selective weight reinitialisation, SWR, https://arxiv.org/abs/2508.00212. In each parameter by
    itself, biases and normalisation included, the weights of lowest utility are drawn again, or set
    to the mean of what they were drawn from.

    Changes: the chosen parameters' weights of lowest utility; optimizer state (`optimizer_state:
    reset` sets moments at these positions to 0). Keeps: all other weights; normalisation
    statistics; step counts; the learning-rate clock.

    Args:
        at: moments.
        factor: which weights those are: as a `share`, in [0, 1], 0 is the identity; as a
            `threshold`, all whose utility is at most this times the mean of their parameter.
        choice: what `factor` says, `share` or `threshold`.
        utility: `magnitude`, |w|; or `gradient`, |w g| with the gradient g of the last step.
            Parameters without a gradient are then left alone.
        to: a `fresh` draw, or the `mean` of what the weight was drawn from (0, and 1 of scales of
            normalisation).
        optimizer_state: `keep`, as the released code does, or `reset`.
        layers: names and patterns of layers; without them all layers.
        every: in place of `at`, again and again.

    Raises:
        UserError: for a factor outside its range, or layers that cannot be drawn again.

    Example:
        ```yaml
        class_path: callbacks.SelectiveWeightReset
        init_args: {every: 100st, factor: 0.01, utility: gradient}
        ```
    """

    tags: ClassVar[tuple[str, ...]] = ("weights",)

    def __init__(
        self,
        at: list[Time] | None = None,
        *,
        factor: float,
        choice: Literal["share", "threshold"] = "share",
        utility: Literal["magnitude", "gradient"] = "magnitude",
        to: Literal["fresh", "mean"] = "fresh",
        optimizer_state: Literal["keep", "reset"] = "keep",
        layers: list[str] | None = None,
        every: Time | None = None,
    ) -> None:
        super().__init__(at, every)
        if not factor >= 0:
            raise UserError("factor", value=factor, fix="set 0 or more")
        if choice == "share" and factor > 1:
            raise UserError("factor", value=factor, fix="set a share in [0, 1]")
        self.factor = factor
        self.choice = choice
        self.utility = utility
        self.to = to
        self.optimizer_state = optimizer_state
        self.layers = layers
        self._gradients: dict[str, Tensor] = {}

    def begin(self) -> None:
        """Forget the gradients."""
        self._gradients = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the gradients of the last step, if they are used."""
        return {"gradients": {name: one.cpu() for name, one in self._gradients.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the gradients of a checkpoint."""
        self._gradients = dict(state_dict["gradients"])

    def active(self, before: Position | None, now: Position, epochs: int) -> Answer:
        """Return whether it acts, or watches gradients until it does."""
        acts = super().active(before, now, epochs)
        return WATCHES if acts is None and self.utility == "gradient" else acts

    def act(self, trainer: Trainer, module: LightningModule, answer: Answer) -> None:
        """Reset weights, unless it watches."""
        if answer != WATCHES:
            super().act(trainer, module, answer)

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse layers that cannot be drawn again, and gradients whose scale is not known."""
        check_can_redraw("SelectiveWeightReset", trainer, module, self._chosen(module))
        if self.utility == "gradient":
            check_gradients_unscaled("SelectiveWeightReset", trainer, module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        if self.utility == "gradient":
            self._gradients = {
                name: parameter.grad.detach().clone()
                for name, parameter in own_parameters(self._chosen(pl_module)).items()
                if parameter.grad is not None
            }

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None:
        """Find the weights of lowest utility, and reset them."""
        layers = self._chosen(module)
        parameters = {
            name: parameter
            for name, parameter in own_parameters(layers).items()
            if parameter.requires_grad
        }
        masks = {}
        for name, parameter in parameters.items():
            if self.utility == "magnitude":
                utility = parameter.abs()
            elif name in self._gradients:
                utility = (parameter * self._gradients[name].to(parameter)).abs()
            else:
                continue
            if self.choice == "share":
                generator = draws.generator(f"{name} rounded")
                masks[name] = lowest_share(utility, self.factor, generator)
            else:
                masks[name] = below_mean(utility, self.factor)

        values = redraw(unwrap(module), layers, draws.key, holder=module)
        if self.to == "mean":
            values = initial_means(values)
        optimizers = trainer.optimizers if self.optimizer_state == "reset" else []
        count = reset_weights(parameters, masks, values, optimizers)
        log(trainer, "SelectiveWeightReset/weights", count)

    def _chosen(self, module: LightningModule) -> dict[str, nn.Module]:
        network = unwrap(module)
        if self.layers is None:
            return layers_with_state(network)
        return select_layers(network, layers=self.layers)
