"""Forgetting events of a run."""

from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from callbacks.diagnostics.forgetting import Forgetting, plot_events
from callbacks.diagnostics.forgetting_table import write_table
from datamodules.datasets.split import TensorSplit
from lightning_modules import ImageClassifier
from plasticity_lab.measurements.forgetting_statistics import (
    NEVER,
    ForgettingStatistics,
    whole_units,
)
from plasticity_lab.measurements.forgetting_summary import forgetting_summary
from plasticity_lab.studies.state_hash import state_hash
from tests.processes import run_directory, run_ranks
from tests.registry import REGISTRY
from tests.runs import fit, logged, pictures, tiny

MEANS = ("aum", "el2n")
"""What is a mean over presentations."""


class Presentation(NamedTuple):
    """A presentation of an example."""

    stage: int
    right: bool
    given_label: int
    margin: float
    error: float


class Witness(Callback):
    """Records the answer to each example and the right one; a module writes the answers."""

    def __init__(self) -> None:
        self.histories: list[list[Presentation]] = [[] for _ in range(100)]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert not pl_module._forward_hooks, "nothing stays on the module"
        stage = trainer.datamodule.now.stage  # type: ignore[attr-defined]
        for index, label, answers in zip(
            batch.indices.tolist(), batch.targets.tolist(), pl_module.answers.tolist(), strict=True
        ):
            best = max(answers[:label] + answers[label + 1 :])
            shares = np.exp(answers) / np.exp(answers).sum()
            self.histories[index].append(
                Presentation(
                    stage,
                    right=int(np.argmax(answers)) == label,
                    given_label=label,
                    margin=answers[label] - best,
                    error=float(np.linalg.norm(shares - np.eye(10)[label])),
                )
            )


class Telling(ImageClassifier):
    """Keeps its training logits."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        self.answers = self(batch.inputs)
        loss = torch.nn.functional.cross_entropy(self.answers, batch.targets)
        self.train_metrics.update(loss, self.answers, batch.targets)
        return loss


class Silent(ImageClassifier):
    """Does not call itself."""

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(self.network(batch.inputs), batch.targets)

    def on_train_epoch_end(self) -> None:
        """Log nothing."""


FORGETTING = {
    "class_path": "callbacks.diagnostics.forgetting.Forgetting",
    "init_args": {"every": "1ep"},
}
COUNT = {"trainer": {"callbacks+": [FORGETTING]}}
WATCH = {"trainer": {"callbacks+": [FORGETTING, {"class_path": f"{__name__}.Witness"}]}}
TELL = {"model": {"class_path": f"{__name__}.Telling"}}
NOISE = [
    {
        "class_path": "datamodules.LabelNoise",
        "init_args": {"fraction": 0.5, "during": ["0ep", "100%"]},
    }
]
GROWING = {
    "data": {
        "init_args": {
            "growth": {
                "class_path": "datamodules.UniformGrowth",
                "init_args": {"counts": [40, 90], "at": ["3ep"]},
            },
            "deficits": NOISE,
            "drop_last": True,
        }
    },
    "trainer": {"max_epochs": 8, "accumulate_grad_batches": 2},
}
TWICE = {
    "data": {
        "init_args": {
            "growth": {
                "class_path": "datamodules.SmoothTransition",
                "init_args": {"gamma": 1, "fraction": 0.1},
            }
        }
    }
}
LONG = {"trainer": {"max_epochs": 8}}
AT_ONCE = {
    "trainer": {
        "callbacks+": [{"class_path": "callbacks.NormRecalibration", "init_args": {"every": "1ep"}}]
    }
}


def callback_of(finished: Any, kind: type) -> Any:
    return next(
        callback
        for callback in finished.trainer.callbacks
        if type(callback).__name__ == kind.__name__
    )


@pytest.mark.parametrize(
    "fragment",
    [LONG, GROWING, TWICE],
    ids=["plain", "growth, noise, accumulation, drop_last", "repeats"],
)
def test_a_run_counts_its_own_answers(fragment: dict[str, Any]) -> None:
    finished = fit(*tiny(TELL, WATCH, fragment))
    histories, values = callback_of(finished, Witness).histories, logged(finished.place.directory)
    stages = 2 if fragment is GROWING else 1
    table, labels = (
        pd.read_csv(finished.place.directory / "forgetting.csv"),
        finished.data.splits.train.targets.tolist(),
    )
    max_presentations = max(len(history) for history in histories)
    rows, events = [], []
    for index, history in enumerate(histories):
        answers = [presentation.right for presentation in history]
        forgotten = [
            history[n] for n in range(1, len(answers)) if answers[n - 1] and not answers[n]
        ]
        events.append(len(forgotten))
        row = {
            "index": int(
                finished.data.splits.train.indices[index]
            ),  # in the whole split, of which it has 100
            "label": labels[index],
            "given_label": history[-1].given_label if history else np.nan,
            "wrong_label": any(
                presentation.given_label != labels[index] for presentation in history
            )
            if history
            else np.nan,
            "presentations": len(history),
            "first_learned": answers.index(True) if True in answers else np.nan,
            "last_wrong": max(n for n, right in enumerate(answers) if not right)
            if False in answers
            else np.nan,
            "learned": len(forgotten) + bool(answers and answers[-1]),
            "events": len(forgotten),
            "score": (len(forgotten) if any(answers) else max_presentations) if history else np.nan,
            "misclassification_margin": np.mean([event.margin for event in forgotten])
            if forgotten
            else np.nan,
            "aum": np.mean([seen.margin for seen in history]) if history else np.nan,
            "el2n": np.mean([seen.error for seen in history]) if history else np.nan,
            **{
                f"events_stage{stage}": [event.stage for event in forgotten].count(stage)
                for stage in range(stages)
            },
        }
        rows.append(row)
    pd.testing.assert_frame_equal(table, pd.DataFrame(rows), check_dtype=False, rtol=0, atol=2e-6)
    exact = table.columns.drop(["misclassification_margin", "aum", "el2n"])
    assert table[exact].equals(pd.DataFrame(rows)[exact].astype(table[exact].dtypes)), (
        "numbers of presentations are exact"
    )
    assert (table["misclassification_margin"].dropna() < 0).all()

    presented = [
        (
            count,
            [presentation.right for presentation in history],
            any(presentation.given_label != label for presentation in history),
        )
        for history, count, label in zip(histories, events, labels, strict=True)
        if history
    ]
    assert (len(presented) == 100) is (fragment is LONG), (
        "some are never presented where data are few"
    )
    assert sum(events) > 0
    expected = shares([(count, answers) for count, answers, _ in presented])
    seen = table[table["presentations"] > 0]
    expected |= {name: seen[name].mean() for name in MEANS}
    if fragment is GROWING:
        for name, kind in (("wrong", True), ("right", False)):
            part = shares(
                [(count, answers) for count, answers, wrong in presented if wrong is kind]
            )
            part |= {value: seen[seen["wrong_label"] == kind][value].mean() for value in MEANS}
            expected |= {f"{value}/{name}": number for value, number in part.items()}
        ranks = [
            (count if any(answers) else max_presentations, wrong)
            for count, answers, wrong in presented
        ]
        expected |= {f"wrong_labels/{name}": number for name, number in told_apart(ranks).items()}
    assert {
        tag.removeprefix("diagnostics/forgetting/") for tag in values if "/forgetting/" in tag
    } == {*expected}
    for name, number in expected.items():
        points = values[f"diagnostics/forgetting/{name}"]
        assert points[0][0] > 0, "nothing before the first batch"
        assert points[-1][0] == finished.trainer.global_step - 1
        # Precision is sampled, and the table has six decimals.
        rounded = 2e-6 if name.partition("/")[0] in MEANS else 1e-12
        tolerance = 0.005 if name == "wrong_labels/precision" else rounded
        assert points[-1][1] == pytest.approx(number, rel=1e-6, abs=tolerance), name
    assert len(pictures(finished.place.directory)["diagnostics/forgetting/histogram"]) > 1


def shares(examples: list[tuple[int, list[bool]]]) -> dict[str, float]:
    """Return what is logged of examples, from their events and right or wrong presentations."""
    return {
        "events": fmean(count for count, answers in examples if any(answers)),
        "never_learned": fmean(not any(answers) for _, answers in examples),
        "unforgettable": fmean(any(answers) and not count for count, answers in examples),
        "learned": fmean(answers[-1] for _, answers in examples),
    }


def told_apart(ranks: list[tuple[int, bool]]) -> dict[str, float]:
    """Return how well scores separate wrong labels.

    Over all pairs, and over all orders of equal scores.
    """
    wrong, right = (
        [score for score, is_wrong in ranks if is_wrong is kind] for kind in (True, False)
    )
    pairs = [
        (score > right_score) + (score == right_score) / 2
        for score in wrong
        for right_score in right
    ]
    shuffled = np.random.default_rng(0)
    precisions = []
    for _ in range(3000):
        order = shuffled.permutation(len(ranks))
        top = sorted(order, key=lambda place: -ranks[place][0])[: len(wrong)]
        precisions.append(fmean(ranks[place][1] for place in top))
    return {"share": len(wrong) / len(ranks), "auc": fmean(pairs), "precision": fmean(precisions)}


def test_the_labels_given_count() -> None:
    """Under permuted labels an example is right when it is called by its wrong name."""
    wrong = [
        {"class_path": "datamodules.LabelPermutation", "init_args": {"during": ["0ep", "100%"]}}
    ]
    finished = fit(*tiny(TELL, WATCH, LONG, {"data": {"init_args": {"deficits": wrong}}}))
    counts = callback_of(finished, Forgetting)._counts
    assert counts.right.tolist() == [
        history[-1].right for history in callback_of(finished, Witness).histories
    ]


def test_passes_in_between_are_not_answers() -> None:
    finished = fit(
        *tiny(
            TELL,
            {
                "trainer": {
                    "callbacks+": [
                        FORGETTING,
                        {"class_path": f"{__name__}.Other"},
                        WATCH["trainer"]["callbacks+"][1],
                    ]
                }
            },
        )
    )
    assert callback_of(finished, Forgetting)._counts.right.tolist() == [
        history[-1].right for history in callback_of(finished, Witness).histories
    ]


class Other(Callback):
    """Calls the module, in training mode, before and after the training step has done so."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        pl_module(-batch.inputs)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module(torch.zeros(32, 1, 16, 16))


def test_a_module_that_does_not_call_itself_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fit(*tiny({"model": {"class_path": f"{__name__}.Silent"}}, COUNT))
    message = (
        "Forgetting: the training step does not call the module; let it compute logits by "
        "self(images)"
    )
    assert message in capsys.readouterr().err


def test_a_checkpoint_of_other_data_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    file = fit(*tiny(COUNT)).place.directory / "checkpoints/last.ckpt"
    fewer = {
        "data": {
            "init_args": {
                "dataset": {"class_path": "datamodules.Digits", "init_args": {"subset": 90}}
            }
        }
    }
    with pytest.raises(SystemExit):
        fit(*tiny(COUNT, fewer, LONG), "--ckpt_path", str(file))
    message = (
        "Forgetting: the checkpoint counted 100 examples, here are 90; use its data, or remove "
        "Forgetting"
    )
    assert message in capsys.readouterr().err


def test_a_checkpoint_that_counted_less_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    file = fit(*tiny(COUNT)).place.directory / "checkpoints/last.ckpt"
    checkpoint = torch.load(file, weights_only=False)
    (key,) = [key for key in checkpoint["callbacks"] if key.startswith("Forgetting")]
    del checkpoint["callbacks"][key]["error_sums"]
    torch.save(checkpoint, file)
    with pytest.raises(SystemExit):
        fit(*tiny(COUNT, LONG), "--ckpt_path", str(file))
    message = "Forgetting: the checkpoint was written by an earlier version, which counted less; "
    assert message in capsys.readouterr().err


def test_a_resume_inside_an_epoch_has_bitwise_the_same_state_and_table() -> None:
    node = {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"filename": "step{step}", "every_n_train_steps": 3, "save_top_k": -1},
    }
    fragments = tiny(
        REGISTRY["everything at once"].acting,
        {"trainer": {"max_epochs": 6, "callbacks+": [FORGETTING, node]}},
    )
    uninterrupted = fit(*fragments)
    home = uninterrupted.place.directory
    expected, table, values = (
        callback_of(uninterrupted, Forgetting).state_dict(),
        (home / "forgetting.csv").read_text(),
        logged(home),
    )
    (home / "forgetting.csv").unlink()
    resumed = fit(*fragments, "--ckpt_path", str(home / "checkpoints/stepstep=6.ckpt"))
    assert state_hash(callback_of(resumed, Forgetting).state_dict()) == state_hash(expected)
    assert (home / "forgetting.csv").read_text() == table
    assert logged(home) == values
    assert int(expected["presentations"].max()) == 6


def counts(
    presentations: list[int],
    events: list[int],
    first: list[int],
    right: list[bool],
    wrong: list[bool] | None = None,
) -> ForgettingStatistics:
    statistics = ForgettingStatistics(torch.zeros(len(events), dtype=torch.int64))
    statistics.presentations, statistics.events = (
        torch.tensor(presentations),
        torch.tensor(events)[:, None],
    )
    statistics.first_learned, statistics.right = torch.tensor(first), torch.tensor(right)
    statistics.mislabelled = torch.tensor(wrong or [False] * len(events)).long()
    return statistics


def test_summary_and_histogram_leave_out_what_was_not_presented() -> None:
    statistics = counts(
        [9, 9, 9, 9, 0],
        [2, 0, 0, 30, 0],
        [1, NEVER, 5, 0, NEVER],
        [True, False, True, False, False],
    )
    statistics.margin_sums = whole_units(torch.tensor([9.0, -9, 18, 0, 0]))
    statistics.error_sums = whole_units(torch.tensor([9.0, 0, 0, 9, 0]))
    assert forgetting_summary(statistics) == {
        "events": 32 / 3,
        "never_learned": 0.25,
        "unforgettable": 0.25,
        "learned": 0.5,
        "aum": 0.5,
        "el2n": 0.5,
    }
    patches: Any = plot_events(statistics).axes[0].patches
    bars = [bar.get_height() for bar in patches]
    assert bars == [1, 0, 1, *[0] * 17, 1, 1]
    assert forgetting_summary(counts([0], [0], [NEVER], [False])) == {}
    assert "events" not in forgetting_summary(counts([1], [0], [NEVER], [False])), (
        "of no learned example there is no mean"
    )


def test_wrong_labels_that_are_never_learned_rank_above_right_ones_that_are_forgotten() -> None:
    """The case in which the number of events alone says the contrary."""
    never = [NEVER, NEVER, 0, 0, 0]
    statistics = counts(
        [9] * 5,
        [0, 0, 3, 1, 0],
        never,
        [False, False, True, True, True],
        [True, True, False, False, False],
    )
    summary = forgetting_summary(statistics)
    assert {name: summary[f"wrong_labels/{name}"] for name in ("auc", "precision", "share")} == {
        "auc": 1,
        "precision": 1,
        "share": 0.4,
    }
    assert summary["events/right"] == summary["events"] == pytest.approx(4 / 3)
    assert "events/wrong" not in summary
    assert summary["unforgettable/wrong"] == 0
    assert summary["unforgettable/right"] == pytest.approx(1 / 3)
    patches: Any = plot_events(statistics).axes[0].patches
    assert [bar.get_height() for bar in patches if bar.get_height()] == [1, 1, 1, 2], (
        "wrong labels have bars of their own"
    )
    only = forgetting_summary(counts([9] * 2, [0, 1], [0, 0], [True, True], [True, True]))
    assert "wrong_labels/auc" not in only, "there is no right label to compare with"
    assert only["events/wrong"] == 0.5


def images(labels: list[int]) -> TensorSplit:
    return TensorSplit(
        torch.zeros(len(labels), 1, 2, 2, dtype=torch.uint8),
        torch.tensor(labels),
        list("0123456789"),
    )


def test_a_table_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    statistics = counts([2, 0], [1, 0], [0, NEVER], [False, False])
    write_table(file, images([7, 8]), statistics)
    first = file.read_text()
    with pytest.raises(ValueError, match="same length"):
        write_table(file, images([1, 2, 3]), statistics)
    assert file.read_text() == first


@pytest.mark.slow
def test_two_ranks_count_as_one_process_does() -> None:
    network = {
        "class_path": "tests.networks.SmallNet",
        "init_args": {"norm": False, "dropout": 0.0},
    }
    plain: dict[str, Any] = {"model": {"init_args": {"network": network}}}
    tables = []
    for devices, size in ((1, 32), (2, 16)):
        strategy = ("--trainer.strategy", "ddp") if devices > 1 else ()
        output = run_ranks(
            devices,
            "fit",
            *tiny(plain, COUNT, TWICE),
            "--trainer.devices",
            str(devices),
            *strategy,
            "--data.init_args.batch_size",
            str(size),
        )
        tables.append(pd.read_csv(run_directory(output) / "forgetting.csv"))
    means = [
        pd.DataFrame({name: table.pop(name) for name in ("misclassification_margin", *MEANS)})
        for table in tables
    ]
    assert tables[0].equals(tables[1])
    pd.testing.assert_frame_equal(*means, rtol=1e-3)  # weights differ in their last bits
