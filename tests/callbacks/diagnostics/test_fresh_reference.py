"""A fresh network beside a run, against a run from its weights."""

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from callbacks import FreshReference
from callbacks.diagnostics.run_look import look_at_module
from callbacks.probe import Probe
from plasticity_lab.analysis.measure import measure
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.initialisation import redraw
from plasticity_lab.surgery.layer_selection import layers_with_state
from plasticity_lab.timing import Time
from tests.callbacks.diagnostics.measured import fragment
from tests.callbacks.test_any_trainer import INPUTS, LABELS, Plain
from tests.registry import VARIANTS
from tests.runs import fit, logged, resume, tiny
from tests.test_bad_input import refused

STILL = {
    "model": {
        "init_args": {
            "network": {"class_path": "tests.networks.SmallNet", "init_args": {"dropout": 0.0}}
        }
    }
}
"""Without dropout, whose draws are not the run's."""
TELL = {"model": {"class_path": "tests.callbacks.diagnostics.test_forgetting.Telling"}}
FACTOR = {
    "class_path": "callbacks.LearningRateFactor",
    "init_args": {"levels": {"2st": 0.25, "5st": 3.0}},
}
WAYS: dict[str, dict[str, Any]] = {
    "plain": TELL,
    "factor": {"trainer": {"callbacks+": [FACTOR]}},
    "adam": VARIANTS["adam"],
    "SAM": VARIANTS["SAM"],
    "bf16": VARIANTS["bf16"],
    "clipped": {"trainer": {"gradient_clip_val": 0.1}},
    "accumulation": {"trainer": {"accumulate_grad_batches": 2}},
    "smoothing": {"model": {"init_args": {"label_smoothing": 0.2}}},
}


class StartFresh(Callback):
    """Gives a run the weights of a reference, and a fresh optimizer, and records its losses."""

    def __init__(self, begun: int) -> None:
        self.begun = begun
        self.seen: list[tuple[int, float, int, int]] = []

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.step = trainer.global_step
        if self.step != self.begun or (self.seen and self.seen[-1][0] == self.begun):
            return
        network, seed = pl_module.network, pl_module.seed
        key = (seed, "FreshReference", self.begun)
        fresh = redraw(network, layers_with_state(network), lambda name: (*key, name))
        with torch.no_grad():
            for name, value in network.state_dict().items():
                value.copy_(fresh[name])
        trainer.optimizers[0].state.clear()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"]) * trainer.accumulate_grad_batches
        answers = getattr(pl_module, "answers", torch.zeros(len(batch.targets), 1))
        right = int((answers.argmax(1) == batch.targets).sum())
        self.seen.append((self.step, loss, right, len(batch.targets)))

    def means(self, begun: int, updates: int) -> tuple[float, float]:
        """Return mean loss and accuracy over the batches of some steps."""
        rows = [row for row in self.seen if begun <= row[0] < begun + updates]
        _, losses, right, sizes = (list(column) for column in zip(*rows, strict=True))
        return float(np.average(losses, weights=sizes)), sum(right) / sum(sizes)


def recorded(way: str, begun: int) -> StartFresh:
    """Train from the weights of a reference, or, if it begins at -1, as the run itself."""
    node = {"class_path": f"{__name__}.StartFresh", "init_args": {"begun": begun}}
    finished = fit(*tiny(STILL, WAYS[way], {"trainer": {"callbacks+": [node]}}))
    (found,) = [c for c in finished.trainer.callbacks if isinstance(c, StartFresh)]
    return found


def windows(way: str, updates: int) -> dict[str, list[tuple[int, float]]]:
    """Return what a run logs with a window at most after each epoch."""
    node = fragment("fresh_reference.FreshReference", updates=updates)
    finished = fit(*tiny(STILL, WAYS[way], node))
    return {
        tag.removeprefix("diagnostics/fresh_reference/"): points
        for tag, points in logged(finished.place.directory).items()
        if "fresh_reference" in tag
    }


@pytest.mark.parametrize(
    "way",
    [way if way == "factor" else pytest.param(way, marks=pytest.mark.slow) for way in WAYS],
)
def test_the_copy_learns_as_a_run_from_its_weights(way: str) -> None:
    """Across the end of an epoch, in which another window would begin; the rate falls there."""
    found = windows(way, updates=6)
    expected = {
        "loss/run": recorded(way, -1).means(0, 6)[0],
        "loss/fresh": recorded(way, 0).means(0, 6)[0],
    }
    for name, value in expected.items():
        assert found[name] == [(5, float(np.float32(value)))], name
    difference = np.float32(expected["loss/run"] - expected["loss/fresh"])
    assert found["loss/difference"][0][1] == difference != 0


def test_a_window_begins_after_every_epoch() -> None:
    found = windows("plain", updates=3)
    run, fresh = recorded("plain", -1), recorded("plain", 4)
    assert [step for step, _ in found["loss/fresh"]] == [2, 6, 10]
    for place, name in enumerate(("loss", "accuracy")):
        values = [run.means(4, 3)[place], fresh.means(4, 3)[place]]
        assert found[f"{name}/run"][1][1] == np.float32(values[0])
        assert found[f"{name}/fresh"][1][1] == np.float32(values[1])
        assert found[f"{name}/difference"][1][1] == np.float32(values[0] - values[1])
    assert run.means(0, 3)[0] == pytest.approx(found["loss/run"][0][1])


@pytest.mark.slow
def test_a_resume_inside_a_window_is_exact_and_a_checkpoint_is_not_measured() -> None:
    keeping = {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"filename": "{step}", "every_n_train_steps": 1, "save_top_k": -1},
    }
    node = fragment("fresh_reference.FreshReference", every="4st", updates=4)
    finished = fit(*tiny(node, VARIANTS["adam"], {"trainer": {"callbacks+": [keeping]}}))
    directory = finished.place.directory
    whole = logged(directory)["diagnostics/fresh_reference/loss/fresh"]
    assert [step for step, _ in whole] == [3, 7, 11]
    left_out = measure(directory / "checkpoints/step=6.ckpt").left_out
    assert left_out["FreshReference"] == "watches training"
    for step in (5, 7):
        again = resume(finished.config, directory / f"checkpoints/step={step}.ckpt")
        values = dict(logged(again.place.directory)["diagnostics/fresh_reference/loss/fresh"])
        assert [values[7], values[11]] == [whole[1][1], whole[2][1]], step


class ByHand(Plain):
    """Optimizes by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False


class BFGS(Plain):
    """Passes through a batch several times."""

    def configure_optimizers(self) -> Any:
        return torch.optim.LBFGS(self.parameters())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (ByHand, "module: ByHand: optimizes by hand, so that its steps are not known; remove it"),
        (BFGS, "optimizer: LBFGS: passes through a batch several times; use another, or remove it"),
    ],
)
def test_what_cannot_be_followed_exactly_is_refused(module: Any, message: str) -> None:
    look = look_at_module(module(), Probe(INPUTS, LABELS, torch.arange(96)))
    with pytest.raises(UserError) as error:
        FreshReference(Time("1ep")).check(look)
    assert str(error.value) == message


def test_no_update_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    node = fragment("fresh_reference.FreshReference", updates=0)
    refused(["fit", *tiny(node)], "updates: 0: set 1 or more", capsys)
