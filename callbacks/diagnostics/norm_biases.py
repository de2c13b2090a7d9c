"""Signs of batch norm's biases."""

from collections.abc import Iterable

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn

from callbacks.diagnostics.base import Diagnostic, Measured
from callbacks.diagnostics.layers import by_block
from callbacks.diagnostics.probe import Probe
from callbacks.norm_statistics import norms
from plasticity_lab.errors import UserError
from plasticity_lab.timing import Time


def norm_biases(module: nn.Module) -> dict[str, Tensor]:
    """Return the biases of all batch-norm layers by name of the parameter, (channels,) each."""
    return {f"{name}.bias": layer.bias for name, layer in norms(module).items() if layer.affine}


def negative_share(biases: Iterable[Tensor]) -> float:
    """Return the share of values below 0: none at the start, when all are 0."""
    return float((torch.cat([bias.flatten() for bias in biases]) < 0).double().mean())


class NormBiases(Diagnostic):
    """Share of batch-norm biases that are negative, which lets units be zero on most examples (Tian et al. 2019, 1905.13405).

    The paper's claim is of trained VGG networks: most are, in upper layers above all. Its code counts zeros too, of which a network
    begins with nothing else; here they do not count. Values: `negative_norm_biases`, `negative_norm_biases/<block>`.

    Args:
        every: how often: `1ep` after each epoch, `100st` after so many optimizer steps.
        early: also after 2, 4, 8, … steps of the first epoch.

    Raises:
        UserError: without batch norm.
    """

    charts = ("negative_norm_biases",)
    runs_network = False
    tags = (*charts, "negative_norm_biases/<block>")

    def __init__(self, every: Time, early: bool = False) -> None:
        super().__init__(every, early, examples=1)

    def check(self, trainer: Trainer, module: LightningModule) -> None:
        """Refuse what has no such biases."""
        super().check(trainer, module)
        if not norm_biases(module):
            raise UserError(type(self).__name__, problem="the network has no batch norm with biases", fix="leave it out")

    def measure(self, trainer: Trainer, module: LightningModule, probe: Probe) -> Measured:
        """Return the shares."""
        biases = norm_biases(module)
        found = {"negative_norm_biases": negative_share(biases.values())}
        for block, names in by_block(module, biases).items():
            found[f"negative_norm_biases/{block}"] = negative_share(biases[name] for name in names)
        return found
