"""The lines that a run prints when it begins."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from datamodules import ImageDataModule
from plasticity_lab.runs.run_directory import RunLocation

_BF16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}
"""Flags of x86 and ARM processors in /proc/cpuinfo."""


class RunLines(Callback):
    """Prints where the run is kept, what it starts from, on what it trains and is validated.

    Args:
        place: where the run is kept and what it starts from.
    """

    def __init__(self, place: RunLocation) -> None:
        self.place = place

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a helper
            return
        print(f"run directory: {self.place.directory}")
        lines = (
            self.place.note,
            _start(self.place, trainer),
            _device(trainer),
            _validation(trainer),
        )
        for line in filter(None, lines):
            print(line)
        print(end="", flush=True)


def _start(place: RunLocation, trainer: Trainer) -> str:
    """Return what the run starts from."""
    if place.checkpoint is None:
        return ""
    verb = "branches off" if place.resumed_at is None else "resumes from"
    return f"{verb} {place.checkpoint}: epoch {trainer.current_epoch}, step {trainer.global_step}"


def _device(trainer: Trainer) -> str:
    """Return the devices, with a warning where the precision does not suit them."""
    device = trainer.strategy.root_device
    line = f"device: {device}" + (f", {trainer.world_size} ranks" if trainer.world_size > 1 else "")
    if device.type == "cpu" and trainer.precision == "bf16-mixed" and not has_bf16_units():
        line += (
            "\nwarning: precision: bf16-mixed: this processor has no units for bf16, "
            "and fp32 is several times faster; remove it"
        )
    return line


def has_bf16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bf16 numbers; true where that is unknown."""
    return not cpuinfo.exists() or bool(_BF16_UNITS & set(cpuinfo.read_text().split()))


def _validation(trainer: Trainer) -> str:
    """Return what `val/…` is measured on."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]  # set by a helper of Trainer
    if not isinstance(data, ImageDataModule) or not trainer.limit_val_batches:
        return ""
    share = data.dataset.validation
    if share == "test":
        return (
            "val/ is measured on the test split: what is chosen by val/ is chosen on the test data "
            "(dataset.init_args.validation: 0.1 holds out a share of the training split instead)"
        )
    return f"val/ is measured on {share:g} of the training split, held out"
