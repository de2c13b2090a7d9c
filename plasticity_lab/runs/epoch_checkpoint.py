"""The checkpoint of the last epoch, which every run keeps."""

from pathlib import Path

from pytorch_lightning.callbacks import ModelCheckpoint


class EpochCheckpoint(ModelCheckpoint):
    """Keeps the end of the last epoch, as `epoch=0029.ckpt`.

    What a run resumes from is written by `LastCheckpoint`.

    A class of its own, so that its state in a checkpoint is never taken for that of another
    `ModelCheckpoint` with equal settings.

    Args:
        directory: the run's directory.
    """

    def __init__(self, directory: Path) -> None:
        super().__init__(
            dirpath=directory / "checkpoints",
            filename="{epoch:04d}",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
