"""Forgetting events of a run."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.diagnostics.forgetting import Forgetting, histogram, summary, write_table
from callbacks.diagnostics.forgetting_statistics import NEVER, ForgettingStatistics
from datamodules.images import TensorImages
from lightning_modules import ImageClassifier
from studies.digest import digest
from tests.processes import run as start
from tests.processes import run_directory
from tests.registry import REGISTRY
from tests.runs import fit, logged, pictures, tiny


class Witness(Callback):
    """Remembers what was answered to each example and what should have been; a module of its own writes the answers."""

    def __init__(self) -> None:
        self.seen: list[list[tuple[int, bool]]] = [[] for _ in range(100)]

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        assert not pl_module._forward_hooks, "nothing stays on the module"
        answers = pl_module.answers.argmax(1) == batch.labels
        for index, right in zip(batch.indices.tolist(), answers.tolist(), strict=True):
            self.seen[index].append((trainer.datamodule.now.stage, right))  # type: ignore[attr-defined]


class Telling(ImageClassifier):
    """Keeps its training logits."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.answers = self(batch.images)
        loss = torch.nn.functional.cross_entropy(self.answers, batch.labels)
        self.train_tally.update(loss, self.answers, batch.labels)
        return loss


class Silent(ImageClassifier):
    """Does not call itself."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.network(batch.images), batch.labels)

    def on_train_epoch_end(self) -> None:
        """Log nothing."""


FORGETTING = {"class_path": "callbacks.diagnostics.forgetting.Forgetting", "init_args": {"every": "1ep"}}
COUNT = {"trainer": {"callbacks+": [FORGETTING]}}
WATCH = {"trainer": {"callbacks+": [FORGETTING, {"class_path": f"{__name__}.Witness"}]}}
TELL = {"model": {"class_path": f"{__name__}.Telling"}}
NOISE = [{"class_path": "datamodules.LabelNoise", "init_args": {"fraction": 0.5, "during": ["0ep", "100%"]}}]
GROWING = {
    "data": {
        "init_args": {
            "growth": {"class_path": "datamodules.UniformGrowth", "init_args": {"counts": [40, 90], "at": ["3ep"]}},
            "deficits": NOISE,
            "drop_last": True,
        }
    },
    "trainer": {"max_epochs": 8, "accumulate_grad_batches": 2},
}
TWICE = {
    "data": {"init_args": {"growth": {"class_path": "datamodules.SmoothTransition", "init_args": {"gamma": 1, "fraction": 0.1}}}}
}
LONG = {"trainer": {"max_epochs": 8}}
AT_ONCE = {"trainer": {"callbacks+": [{"class_path": "callbacks.NormRecalibration", "init_args": {"every": "1ep"}}]}}


def one(cli: Any, kind: type) -> Any:
    return next(one for one in cli.trainer.callbacks if type(one).__name__ == kind.__name__)


@pytest.mark.parametrize("fragment", [LONG, GROWING, TWICE], ids=["plain", "growth, noise, accumulation, drop_last", "repeats"])
def test_a_run_counts_its_own_answers(fragment: dict[str, Any]) -> None:
    cli = fit(*tiny(TELL, WATCH, fragment))
    seen, values = one(cli, Witness).seen, logged(cli.place.directory)
    stages = 2 if fragment is GROWING else 1
    events = []
    with (cli.place.directory / "forgetting.csv").open() as file:
        rows = [dict(row) for row in csv.DictReader(file)]
    assert len(rows) == 100
    for index, history in enumerate(seen):
        answers = [right for _, right in history]
        forgotten = [history[n][0] for n in range(1, len(answers)) if answers[n - 1] and not answers[n]]
        events.append(len(forgotten))
        assert rows[index] == {
            "index": str(int(cli.datamodule.splits.train.indices[index])),  # in the whole split, of which it has 100
            "label": str(int(cli.datamodule.splits.train.labels[index])),
            "presentations": str(len(history)),
            "first_learned": str(answers.index(True)) if True in answers else "",
            "last_wrong": str(max(n for n, right in enumerate(answers) if not right)) if False in answers else "",
            "learned": str(len(forgotten) + bool(answers and answers[-1])),
            "events": str(len(forgotten)),
            **{f"events_stage{stage}": str(forgotten.count(stage)) for stage in range(stages)},
        }
    presented = [
        (len(history), count, [right for _, right in history]) for history, count in zip(seen, events, strict=True) if history
    ]
    assert (len(presented) == 100) is (fragment is LONG), "some are never presented where data are few"
    assert sum(events) > 0
    mean = {
        "events": sum(count for _, count, _ in presented),
        "never_learned": sum(not any(answers) for *_, answers in presented),
        "unforgettable": sum(any(answers) and not count for _, count, answers in presented),
        "learned": sum(answers[-1] for *_, answers in presented),
    }
    for name, total in mean.items():
        points = values[f"diagnostics/forgetting/{name}"]
        assert points[0][0] > 0, "nothing before the first batch"
        assert points[-1][0] == cli.trainer.global_step - 1
        assert points[-1][1] == pytest.approx(total / len(presented), rel=1e-6)
    assert len(pictures(cli.place.directory)["diagnostics/forgetting/histogram"]) > 1


def test_the_labels_given_count() -> None:
    """Under permuted labels an example is right when it is called by its wrong name."""
    wrong = [{"class_path": "datamodules.LabelPermutation", "init_args": {"during": ["0ep", "100%"]}}]
    cli = fit(*tiny(TELL, WATCH, LONG, {"data": {"init_args": {"deficits": wrong}}}))
    counts = one(cli, Forgetting)._counts
    assert counts.right.tolist() == [history[-1][1] for history in one(cli, Witness).seen]


def test_passes_in_between_are_not_answers() -> None:
    cli = fit(
        *tiny(
            TELL, {"trainer": {"callbacks+": [FORGETTING, {"class_path": f"{__name__}.Other"}, WATCH["trainer"]["callbacks+"][1]]}}
        )
    )
    assert one(cli, Forgetting)._counts.right.tolist() == [history[-1][1] for history in one(cli, Witness).seen]


class Other(Callback):
    """Calls the module, in training mode, before and after the training step has done so."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        pl_module(-batch.images)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module(torch.zeros(32, 1, 16, 16))


def test_a_module_that_does_not_call_itself_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit(*tiny({"model": {"class_path": f"{__name__}.Silent"}}, COUNT))
    message = "Forgetting: the training step does not call the module; let it compute logits by self(images)"
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_other_data_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    file = fit(*tiny(COUNT)).place.directory / "checkpoints/last.ckpt"
    fewer = {"data": {"init_args": {"dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 90}}}}}
    with pytest.raises(SystemExit):
        fit(*tiny(COUNT, fewer, LONG), "--ckpt_path", str(file))
    message = "Forgetting: the checkpoint counted 100 examples, here are 90; go on with its data, or leave it out"
    assert message in capsys.readouterr().err


def test_a_resume_inside_an_epoch_has_bitwise_the_same_state_and_table() -> None:
    kept = {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"filename": "step{step}", "every_n_train_steps": 3, "save_top_k": -1},
    }
    fragments = tiny(REGISTRY["everything at once"].acting, {"trainer": {"max_epochs": 6, "callbacks+": [FORGETTING, kept]}})
    whole = fit(*fragments)
    home = whole.place.directory
    expected, table, values = one(whole, Forgetting).state_dict(), (home / "forgetting.csv").read_text(), logged(home)
    (home / "forgetting.csv").unlink()
    resumed = fit(*fragments, "--ckpt_path", str(home / "checkpoints/stepstep=6.ckpt"))
    assert digest(one(resumed, Forgetting).state_dict()) == digest(expected)
    assert (home / "forgetting.csv").read_text() == table
    assert logged(home) == values
    assert int(expected["presentations"].max()) == 6


def counts(presentations: list[int], events: list[int], first: list[int], right: list[bool]) -> ForgettingStatistics:
    made = ForgettingStatistics(len(events), torch.device("cpu"))
    made.presentations, made.events = torch.tensor(presentations), torch.tensor(events)[:, None]
    made.first_learned, made.right = torch.tensor(first), torch.tensor(right)
    return made


def test_summary_and_histogram_leave_out_what_was_not_presented() -> None:
    made = counts([9, 9, 9, 9, 0], [2, 0, 0, 30, 0], [1, NEVER, 5, 0, NEVER], [True, False, True, False, False])
    assert summary(made) == {"events": 8, "never_learned": 0.25, "unforgettable": 0.25, "learned": 0.5}
    patches: Any = histogram(made).axes[0].patches
    bars = [bar.get_height() for bar in patches]
    assert bars == [1, 0, 1, *[0] * 17, 1, 1]
    assert summary(counts([0], [0], [NEVER], [False])) == {}


def images(labels: list[int]) -> TensorImages:
    return TensorImages(torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8), torch.tensor(labels), list("0123456789"))


def test_a_table_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "table.csv"
    made = counts([2, 0], [1, 0], [0, NEVER], [False, False])
    write_table(file, images([7, 8]), made)
    first = file.read_text()
    with pytest.raises(ValueError, match="zip"):
        write_table(file, images([1, 2, 3]), made)
    assert file.read_text() == first


@pytest.mark.slow
def test_two_ranks_count_as_one_process_does() -> None:
    network = {"class_path": "tests.networks.SmallNet", "init_args": {"norm": False, "dropout": 0.0}}
    plain: dict[str, Any] = {"model": {"init_args": {"network": network}}}
    tables = []
    for devices, size in ((1, 32), (2, 16)):
        strategy = ("--trainer.strategy", "ddp") if devices > 1 else ()
        output = start(
            "fit",
            *tiny(plain, COUNT, TWICE),
            "--trainer.devices",
            str(devices),
            *strategy,
            "--data.init_args.batch_size",
            str(size),
        )
        tables.append((run_directory(output) / "forgetting.csv").read_text())
    assert tables[0] == tables[1]
