"""Goes on from another run's checkpoint with settings of its own."""

import warnings
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Branch(Callback):
    """Lets the config beat the checkpoint where a run branches off: a checkpoint also holds its run's rates and schedule.

    Changes: values of the optimizer's parameter groups and the schedule's arguments become the config's, with the schedule
    advanced to the checkpoint's clock (a plateau schedule starts anew). Keeps: parameters, normalisation statistics, the
    optimizer's moments, the clock. With an unchanged config this is bitwise nothing.
    """

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        made: Any = pl_module.configure_optimizers()
        optimizer, scheduler = (
            (made, None) if isinstance(made, Optimizer) else (made["optimizer"], made["lr_scheduler"]["scheduler"])
        )
        saved = checkpoint["lr_schedulers"]
        if scheduler is not None:
            if saved and not isinstance(scheduler, ReduceLROnPlateau):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the optimizer is only asked for its rates
                    for _ in range(saved[0]["last_epoch"]):
                        scheduler.step()
            checkpoint["lr_schedulers"] = [scheduler.state_dict()]
        else:
            checkpoint["lr_schedulers"] = []
        groups = zip(checkpoint["optimizer_states"][0]["param_groups"], optimizer.state_dict()["param_groups"], strict=True)
        checkpoint["optimizer_states"][0]["param_groups"] = [{**new, "params": old["params"]} for old, new in groups]
