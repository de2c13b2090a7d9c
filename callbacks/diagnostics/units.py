"""Units that are dormant or dead."""

from collections.abc import Mapping, Sequence

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from callbacks.diagnostics.base import Diagnostic, Measured, NormStatistics
from callbacks.diagnostics.features import check_rectified, rectified
from callbacks.diagnostics.probe import Probe
from callbacks.network import network_of
from datamodules import ImageDataModule
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


def magnitudes(activations: Tensor) -> Tensor:
    """Return the mean absolute activation of each unit on each example, (examples, units).

    Args:
        activations: (examples, units); (examples, tokens, units), averaged over tokens; or (examples, units, height, width),
            averaged over positions.
    """
    if activations.ndim < 3:
        return activations.abs()
    return activations.abs().mean(1) if activations.ndim == 3 else activations.abs().flatten(2).mean(2)


def redo_scores(activity: Tensor) -> Tensor:
    """Return each unit's mean magnitude over that of its layer, (units,), as ReDo does (Sokar et al. 2023, 2302.12902).

    Args:
        activity: magnitudes of one layer, (examples, units); a layer of zeros only has scores 0.
    """
    means = activity.mean(0)
    return means / (means.mean() + 1e-9)


def dormant(activity: Tensor, tau: float) -> Tensor:
    """Return which units have a score of at most tau, bool (units,)."""
    return redo_scores(activity) <= tau


def dead(activity: Tensor) -> Tensor:
    """Return which units are zero on all examples, bool (units,)."""
    return (activity == 0).all(0)


def shares(blocks: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    """Return the share of units that are marked in all layers (key ``""``) and in those of each block.

    Args:
        blocks: for each block its layers' marks, bool (units,).
    """
    counts = {name: (sum(int(one.sum()) for one in layers), sum(len(one) for one in layers)) for name, layers in blocks.items()}
    marked, units = (sum(count[part] for count in counts.values()) for part in (0, 1))
    return {"": marked / units, **{name: some / of for name, (some, of) in counts.items()}}


class Units(Diagnostic):
    """Shares of dormant and of dead units (Sokar et al. 2023, https://arxiv.org/abs/2302.12902), in all ReLU layers and by block.

    A unit is a feature, or a channel over all its positions, after a ReLU. It is dormant if its mean activation is at most tau
    times the mean of its layer, dead if it is zero on the whole probe. One forward pass. Values: `dormant`, `dormant/<block>`,
    `dead`, `dead/<block>`.

    Batch norm: statistics are estimated on the probe, as `Diagnostic` says; the paper's
    convention is not known.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps.
        tau: 0 or more; 0.025 and 0.1 in the paper. 0 is the released code's default: dead units alone.
        early: also after 2, 4, 8, … steps of the first epoch.
        examples: size of the probe.
        impaired: whether the probe has the deficits in force, as training has them.
        norm_statistics: of batch norm, as `Diagnostic`.

    Raises:
        UserError: for a negative tau, or a network without ReLU.
    """

    charts = ("dormant", "dead")
    tags = (*charts, "dormant/<block>", "dead/<block>")

    def __init__(
        self,
        every: Time,
        tau: float = 0.025,
        early: bool = False,
        examples: int = 1000,
        impaired: bool = False,
        norm_statistics: NormStatistics = "estimated",
    ) -> None:
        super().__init__(every, early, examples, impaired, norm_statistics)
        if not tau >= 0:
            raise UserError("tau", value=tau, fix="write 0 or more")
        self.tau = tau

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse a network without ReLU."""
        super().check(trainer, module)
        data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
        check_rectified(type(self).__name__, module, data.splits.train.shape)

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the shares."""
        layers = rectified(network_of(module), probe.images, lambda number, output: magnitudes(output))
        of_dormant = shares({name: [dormant(one, self.tau) for one in block] for name, block in layers.items()})
        of_dead = shares({name: [dead(one) for one in block] for name, block in layers.items()})
        found = {("dormant", name): value for name, value in of_dormant.items()}
        found |= {("dead", name): value for name, value in of_dead.items()}
        return {f"{kind}/{name}".rstrip("/"): value for (kind, name), value in found.items()}
