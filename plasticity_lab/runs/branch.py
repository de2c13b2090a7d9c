"""A branch: a run that starts from another run's checkpoint with settings of its own."""

import warnings
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from lightning_modules.build_optimizer import build_optimizer


class BranchFromCheckpoint(Callback):
    """Lets the config's rates and schedule replace the checkpoint's where a run branches off.

    Changes: values of the optimizer's parameter groups and the schedule's arguments become the
    config's, with the schedule advanced to the checkpoint's clock (a plateau schedule starts anew).
    Keeps: parameters, normalisation statistics, the optimizer's moments, the clock. With an
    unchanged config this is a no-op. Several optimizers are left alone.
    """

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        optimizer, scheduler, interval = build_optimizer(pl_module)
        if optimizer is None:
            return
        if scheduler is not None and not isinstance(scheduler, ReduceLROnPlateau):
            saved = checkpoint["lr_schedulers"]
            clock = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]
            if interval == "step":
                clock = checkpoint["global_step"]
            with warnings.catch_warnings():
                # The optimizer takes no step, which schedules warn of: only its rates are read.
                warnings.simplefilter("ignore")
                for _ in range(saved[0]["last_epoch"] if saved else clock):
                    scheduler.step()
        checkpoint["lr_schedulers"] = [] if scheduler is None else [scheduler.state_dict()]
        groups = zip(
            checkpoint["optimizer_states"][0]["param_groups"],
            optimizer.state_dict()["param_groups"],
            strict=True,
        )
        checkpoint["optimizer_states"][0]["param_groups"] = [
            {**new, "params": old["params"]} for old, new in groups
        ]
