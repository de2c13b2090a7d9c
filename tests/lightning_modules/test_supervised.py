"""Real-valued targets, through YAML alone."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import Metric

from lightning_modules import Classification, Regression
from lightning_modules.epoch_metrics import Accuracy
from plasticity_lab.errors import UserError
from plasticity_lab.measurements import fisher_trace
from plasticity_lab.randomness import generator
from plasticity_lab.runs.build import build
from plasticity_lab.runs.main import main
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.epoch_signatures import epoch_signatures
from plasticity_lab.studies.logged_metrics import logged_metrics
from tests.registry import REGISTRY
from tests.regressions import regression
from tests.runs import fit, logged, state, tiny
from tests.studies.test_fork import check as check_segments
from tests.studies.test_fork import config
from tests.test_contracts import EVERY_KIND, check_resumes

SUPERVISED: dict[str, Any] = {
    "model": {
        "class_path": "lightning_modules.Supervised",
        "init_args": {"objective": {"class_path": "lightning_modules.Classification"}},
    }
}


def test_a_classifier_is_supervised_by_classification() -> None:
    classifier, supervised = fit(*tiny()), fit(*tiny(SUPERVISED))
    assert state(classifier) == state(supervised)
    assert logged(classifier.place.directory) == logged(supervised.place.directory)


@pytest.mark.parametrize("dataset", ["MeanGrey", "Vectors"])
def test_a_regression_trains(dataset: str, capsys: pytest.CaptureFixture[str]) -> None:
    finished = fit(*tiny(regression(dataset)), "--trainer.max_epochs", "20")
    values = logged(finished.place.directory)
    tags = {f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "r2")}
    assert tags <= set(values)
    assert values["train/loss"][-1][1] < values["train/loss"][0][1] * 0.75
    test = finished.data.splits.test
    inputs = finished.data.normalise(test.tensor())
    outputs = finished.model.eval()(inputs).detach()
    targets = test.targets.view(outputs.shape)
    loss = float(((outputs - targets) ** 2).mean())
    assert values["test/loss"][0][1] == pytest.approx(loss, rel=1e-5)
    explained = 1 - ((outputs - targets) ** 2).sum(0) / ((targets - targets.mean(0)) ** 2).sum(0)
    assert values["test/r2"][0][1] == pytest.approx(float(explained.mean()), abs=1e-4)
    line = r"train loss [\d.]+   test loss [\d.]+   train r2 -?[\d.]+   test r2 -?[\d.]+\n"
    assert re.search(line, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("dataset", "columns"),
    [
        ("MeanGrey", "index target predicted"),
        ("Vectors", "index target0 target1 predicted0 predicted1"),
    ],
)
def test_predict_writes_values(dataset: str, columns: str) -> None:
    home = fit(*tiny(regression(dataset))).place.directory
    main(["predict", "--config", str(home / "config.yaml"), "--ckpt_path", "last"])
    (file,) = Path(home).glob("predictions-*.csv")
    with file.open() as rows:
        read = list(csv.reader(rows))
    assert read[0] == columns.split()
    assert len(read) == 1 + (500 if dataset == "MeanGrey" else 120)


@pytest.mark.parametrize("growing", [False, True])
def test_a_resume_is_bitwise(growing: bool) -> None:
    """Growing, with weights shrunk and perturbed at the new stage; from three checkpoints."""
    acting = [REGISTRY["ShrinkPerturb"].acting] if growing else []
    check_resumes(regression(), *acting, EVERY_KIND, every=5)


def test_the_timeline_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    fragments = regression("Vectors"), REGISTRY["ShrinkPerturb"].acting
    main(["fit", *tiny(*fragments), "--print_timeline"])
    assert "ShrinkPerturb" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["MeanGrey", pytest.param("Vectors", marks=pytest.mark.slow)])
def test_a_study_shares_its_epochs(dataset: str) -> None:
    shrunk = {"class_path": "callbacks.ShrinkPerturb", "init_args": {"at": ["2ep"], "shrink": 0.5}}
    acting = {"trainer": {"callbacks+": [shrunk]}}
    plain = epoch_signatures(config(regression(dataset)), lambda nest: "")
    with_intervention = epoch_signatures(config(regression(dataset), acting), lambda nest: "")
    assert not plain.not_shareable_because
    assert plain.static_part(0) == with_intervention.static_part(0)
    are_equal = [
        mine == theirs for mine, theirs in zip(plain.epochs, with_intervention.epochs, strict=True)
    ]
    assert are_equal == [True, True, False]
    check_segments(regression(dataset))
    assert {"train/r2", "test/r2"} < set(logged_metrics(config(regression(dataset))) or ())


def _diagnostic(name: str, **arguments: Any) -> dict[str, Any]:
    node = {"class_path": f"callbacks.{name}", "init_args": arguments}
    return {"trainer": {"callbacks+": [node]}}


MEASURED = ("FisherInformation", "HessianEigenvalues", "KernelAlignment", "GradientNorms")


@pytest.mark.parametrize("dataset", ["MeanGrey", pytest.param("Vectors", marks=pytest.mark.slow)])
def test_diagnostics_measure_the_loss_of_the_module(dataset: str) -> None:
    nodes = [
        {"class_path": f"callbacks.{name}", "init_args": {"every": "1ep", "examples": 30}}
        for name in MEASURED
    ]
    finished = fit(*tiny(regression(dataset), {"trainer": {"callbacks+": nodes}}))
    values = logged(finished.place.directory)
    for prefix in ("fisher", "hessian", "kernel", "gradient"):
        assert any(tag.startswith(f"diagnostics/{prefix}") for tag in values), sorted(values)
    assert state(finished) == state(fit(*tiny(regression(dataset)))), "invisible"


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "Forgetting": (_diagnostic("Forgetting", every="1ep"), "Forgetting: objective: Regression"),
    "Margins": (_diagnostic("Margins", every="1ep"), "Margins: objective: Regression: is not"),
    "NeuralCode": (_diagnostic("NeuralCode", every="1ep"), "NeuralCode: objective: Regression"),
    "TimeToAccuracy": (
        _diagnostic("TimeToAccuracy", accuracy=0.5),
        "TimeToAccuracy: objective: Regression: logs no accuracy; remove it",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_needs_classes_is_refused(name: str) -> None:
    fragment, message = OTHERS[name]
    with pytest.raises(UserError, match=message) as error:
        build(parse(["fit", *tiny(regression(), fragment)])).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fragments", "message"),
    [
        (
            [regression(objective={"class_path": "lightning_modules.Classification"})],
            "objective: Classification: the data have no classes; use lightning_modules.Supervised",
        ),
        (
            [
                regression(),
                {"data": {"init_args": {"dataset": {"class_path": "datamodules.Digits"}}}},
            ],
            "objective: Regression: targets are 10 classes, not floating-point",
        ),
    ],
)
def test_an_objective_of_another_task_is_refused(fragments: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(parse(["fit", *tiny(*fragments)])).check()


def test_the_loss_is_the_mean_square() -> None:
    outputs, targets = torch.randn(5, 2), torch.randn(5, 2)
    objective = Regression()
    expected = sum(float(part) ** 2 for part in (outputs - targets).flatten()) / 10
    assert float(objective.loss(outputs, targets)) == pytest.approx(expected)
    assert float(objective.mean_loss(outputs, targets)) == pytest.approx(expected)
    assert torch.equal(objective.target_matrix(targets, 2), targets)
    single = objective.loss(outputs[:, :1], targets[:, 0])
    assert torch.equal(single, objective.loss(outputs[:, :1], targets[:, :1]))


def test_the_fisher_information_of_a_linear_network_has_a_closed_form() -> None:
    """F = mean of J'J: for outputs W x + b, its trace is outputs times mean (|x|² + 1)."""
    network, inputs = nn.Linear(3, 2), torch.randn(2000, 3)
    trace = fisher_trace(network, inputs, generator(0, "test"), predictive=Regression().predictive)
    expected = 2 * float((inputs.pow(2).sum(1) + 1).mean())
    assert abs(trace.total - expected) < 3 * trace.error < 0.3 * expected


class Twice(Classification):
    """Measures one thing more than the run whose checkpoint is loaded."""

    def metrics(self) -> Mapping[str, Metric]:
        return {**super().metrics(), "accuracy_again": Accuracy()}


def test_other_metrics_load_every_checkpoint_but_those_inside_an_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = fit(*tiny(SUPERVISED, EVERY_KIND)).place.directory
    objective = {"class_path": "tests.lightning_modules.test_supervised.Twice"}
    other = {"model": {"init_args": {"objective": objective}}}
    arguments = tiny(SUPERVISED, EVERY_KIND, other)
    inside, end = (str(home / "checkpoints" / f"{name}.ckpt") for name in ("stepstep=6", "last"))
    branch = [*arguments, "--trainer.max_epochs", "4", "--ckpt_path"]
    with pytest.raises(SystemExit) as stopped:
        fit(*branch, inside)
    assert stopped.value.code == 2
    assert "inside an epoch that was measured by other metrics; resume" in capsys.readouterr().err
    assert len(logged(fit(*branch, end).place.directory)["train/accuracy_again"]) == 1
    main(["test", *arguments, "--ckpt_path", inside])
