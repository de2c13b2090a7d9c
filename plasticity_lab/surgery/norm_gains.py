"""The gains of batch norm."""

from torch import Tensor, nn

from plasticity_lab.surgery.norm_statistics import batch_norm_layers


def norm_gains(network: nn.Module) -> dict[str, Tensor]:
    """Return the gains of all batch-norm layers by the layers' names, (channels,) each.

    Examples:
        >>> list(norm_gains(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))))
        ['1']
    """
    layers = batch_norm_layers(network)
    return {name: layer.weight for name, layer in layers.items() if layer.affine}
