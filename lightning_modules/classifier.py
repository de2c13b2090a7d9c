"""Image classification; knows nothing of interventions."""

from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from lightning_modules.objectives import Classification
from lightning_modules.tally import Tally
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import detach_computed, init_parameters
from plasticity_lab.surgery.schemes import Scheme


class ImageClassifier(LightningModule):
    """A network trained by cross-entropy, with accuracy and loss of every split logged once an epoch.

    Values reach the loggers when they are computed, so that a checkpoint written afterwards can
    count on them.

    Args:
        network: any module from images (batch, channels, height, width) to logits (batch, classes).
            Training starts from what its constructor sets, drawn under the run's seed (see
            `init_parameters`).
        optimizer: any torch optimizer.
        lr_scheduler: any torch scheduler, stepped once an epoch (`ReduceLROnPlateau` on
            `train/loss`); None keeps the rate.
        label_smoothing: in [0, 1), in training only; 0 is none.
        channels_last: store images and kernels channels last, 1.2 to 1.3 times faster on a CPU and
            more on a GPU.
        compile: compile the network by `torch.compile`; parameters keep their names.
        initialisation: `own` is the network's, which is torch's default for its layers;
            `kaiming_fan_out` is that of the ReScience reproduction of Ash & Adams and of DASH,
            `kaiming_uniform_norm` that of open_lth (see `schemes.apply`). Resets draw by it too.
        seed: the run's seed (`seed_everything`), set by train.py.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: OptimizerCallable,
        lr_scheduler: LRSchedulerCallable | None = None,
        label_smoothing: float = 0.0,
        channels_last: bool = True,
        compile: bool = False,
        initialisation: Scheme = "own",
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.optimizer, self.lr_scheduler = network, optimizer, lr_scheduler
        self.objective = Classification(label_smoothing)
        self.seed = seed
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        init_parameters(network, seed, initialisation)
        detach_computed(network)
        network.to(memory_format=self.memory_format)
        if compile:
            network.compile()
        self.train_tally, self.tally, self.deficit_tally = Tally(), Tally(), Tally()
        self.configure_optimizers()  # torch checks rates and the like only here, and the user should hear of it now

    def forward(self, images: Tensor) -> Tensor:
        """Images (batch, channels, height, width) to logits (batch, classes)."""
        logits: Tensor = self.network(images.contiguous(memory_format=self.memory_format))
        return logits

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss of a batch (images, labels, …)."""
        logits, labels = self(batch[0]), batch[1]
        loss = self.objective.loss(logits, labels)
        self.train_tally.update(loss, logits, labels)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's online loss and accuracy."""
        self._report("train", self.train_tally)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Add a batch to loss and accuracy; a second loader holds the split as deficits impair it."""
        logits, labels = self(batch[0]), batch[1]
        tally = self.deficit_tally if dataloader_idx else self.tally
        tally.update(self.objective.mean_loss(logits, labels), logits, labels)

    def on_validation_epoch_end(self) -> None:
        """Log loss and accuracy."""
        self._report("val", self.tally)
        if self.deficit_tally.update_called:
            self._report("val_deficit", self.deficit_tally)

    test_step = validation_step

    def on_test_epoch_end(self) -> None:
        """Log loss and accuracy."""
        self._report("test", self.tally)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return class probabilities (batch, classes)."""
        logits: Tensor = self(batch[0])
        return logits.float().softmax(1)

    def _report(self, split: str, tally: Tally) -> None:
        values = {f"{split}/{name}": value for name, value in tally.compute().items()}
        tally.reset()
        self.log_dict(values, prog_bar=True, logger=False)
        for logger in () if self.trainer.sanity_checking else self.loggers:
            logger.log_metrics(
                {name: float(value) for name, value in values.items()}, max(0, self.global_step - 1)
            )

    def configure_optimizers(self) -> Any:
        """Build optimizer and schedule."""
        try:
            optimizer = self.optimizer(self.parameters())
            scheduler = self.lr_scheduler(optimizer) if self.lr_scheduler else None
        except (ArithmeticError, AssertionError, RuntimeError, TypeError, ValueError) as error:
            raise UserError("optimizer, lr_scheduler", problem=error) from error
        if scheduler is None:
            return optimizer
        monitor = getattr(scheduler, "monitor", "train/loss")
        if monitor != "train/loss":
            raise UserError(
                "lr_scheduler: monitor",
                value=monitor,
                problem="the schedule steps when only train/loss is known",
                fix="set that",
            )
        # Lightning would step a plateau scheduler after the epoch's checkpoint is written, and
        # never on resuming from it.
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "reduce_on_plateau": False},
        }

    def lr_scheduler_step(self, scheduler: LRScheduler | ReduceLROnPlateau, metric: Any) -> None:
        """Step the schedule after an epoch's last batch."""
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(self.train_tally.compute()["loss"])
        else:
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add each rank's sums, so that a run resumed inside an epoch logs the whole epoch."""
        states: Any = self.train_tally.state()
        if self.trainer.world_size > 1:
            states = self.all_gather(states)  # (ranks, 3)
        checkpoint["train_tally"] = states.reshape(-1, 3).cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore this rank's sums; with another number of ranks an epoch's end is the only place to resume from."""
        states = checkpoint["train_tally"]
        if self._trainer is not None and len(states) == self.trainer.world_size:
            self.train_tally.restore(states[self.global_rank])
