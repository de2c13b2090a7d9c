"""Averages of the weights that Lightning's callbacks keep."""

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


def snapshot(trainer: Trainer, module: LightningModule) -> dict[str, Tensor]:
    """Return a copy of all parameters and buffers if an average of them is kept, else nothing."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()} if _averagings(trainer) else {}


def follow(trainer: Trainer, module: LightningModule, before: dict[str, Tensor]) -> None:
    """Set averages to the present value, in place, wherever that is not what it was before an intervention."""
    now = module.state_dict()
    for averaging in _averagings(trainer):
        average = averaging._average_model
        assert average is not None
        kept = average.module.state_dict()
        for name, tensor in before.items():
            if not tensor.equal(now[name]):
                kept[name].copy_(now[name])


def _averagings(trainer: Trainer) -> list[WeightAveraging]:
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a helper of Trainer
    return [one for one in callbacks if isinstance(one, WeightAveraging)]
