"""Which parameter groups a schedule of weight decay writes into."""

from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_modules import ImageClassifier
from tests.callbacks.interventions.arms import intervention
from tests.runs import fit, tiny
from tests.test_bad_input import refused


class Groups(ImageClassifier):
    """Weights, biases and norms with a weight decay of their own."""

    decays: tuple[float, ...] = (0.05, 0.0, 0.0)

    def configure_optimizers(self) -> Any:
        net: Any = self.network
        parts = (
            [net.conv.weight, net.head.weight],
            [net.conv.bias, net.head.bias],
            list(net.norm.parameters()),
        )
        groups = [
            {"params": part, "weight_decay": decay}
            for part, decay in zip(parts, self.decays, strict=True)
        ]
        return [torch.optim.AdamW(groups, lr=0.01)], []


class NoDecay(Groups):
    decays = (0.0, 0.0, 0.0)


class ManyDecays(Groups):
    decays = (0.05, 0.01, 0.0)


class Decays(Callback):
    """Keeps the weight decay of each group, epoch by epoch."""

    def __init__(self) -> None:
        self.decays: list[list[float]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.decays.append(
                [group["weight_decay"] for group in trainer.optimizers[0].param_groups]
            )


def arguments(kind: str, **levels: float) -> list[str]:
    schedule = intervention(
        "WeightDecaySchedule",
        levels={time.removeprefix("at"): value for time, value in levels.items()},
    )
    fragment = {
        "model": {"class_path": f"{__name__}.{kind}"},
        "trainer": {"callbacks+": [schedule, {"class_path": f"{__name__}.Decays"}]},
    }
    return tiny(fragment)


def recorded_decays(finished: Any) -> list[list[float]]:
    decays: list[list[float]] = next(
        callback.decays for callback in finished.trainer.callbacks if isinstance(callback, Decays)
    )
    return decays


def test_groups_without_decay_beside_others_keep_none() -> None:
    run = arguments("Groups", at1ep=0.0, at2ep=0.01)
    finished = fit(*run)
    assert recorded_decays(finished) == [[0.05, 0.0, 0.0], [0.0, 0.0, 0.0], [0.01, 0.0, 0.0]]
    (middle,) = finished.place.directory.glob("checkpoints/last.ckpt")
    resumed = fit(*run, "--ckpt_path", str(middle), "--trainer.max_epochs", "4")
    assert recorded_decays(resumed) == [[0.01, 0.0, 0.0]], "also from where all were 0 in between"


def test_where_none_decays_all_do() -> None:
    assert recorded_decays(fit(*arguments("NoDecay", at1ep=0.01))) == [
        [0.0] * 3,
        [0.01] * 3,
        [0.01] * 3,
    ]


def test_groups_of_different_decays_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    message = (
        r"WeightDecaySchedule: sets one value, but parameter groups have \[0.01, 0.05\]; "
        "give them one, or 0"
    )
    refused(["fit", *arguments("ManyDecays", at1ep=0.0)], message, capsys)
