"""What is known of a run's metrics before it: all that runs do log, and nothing mistyped."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from callbacks import diagnostics
from plasticity_lab.errors import UserError
from plasticity_lab.studies.logged_metrics import logged_metrics
from plasticity_lab.studies.metrics import check_metric
from plasticity_lab.studies.resolve_configs import resolve
from plasticity_lab.studies.study_run import Run
from tests.callbacks.interventions.arms import ALL
from tests.registry import DIAGNOSTIC_NODES, DIAGNOSTICS, REGISTRY
from tests.runs import fit, logged, tiny

EVERYTHING = {"trainer": {"callbacks+": DIAGNOSTIC_NODES}}
GROWN = {
    "growth": {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["1ep"]},
    },
    "deficits": [
        {"class_path": "datamodules.Blur", "init_args": {"size": 4, "during": ["0ep", "1ep"]}}
    ],
    "also_evaluate_with_deficit": True,
    "augmentation": {"class_path": "datamodules.CropFlip", "init_args": {"during": ["1ep", "2ep"]}},
}
RATES = {
    "trainer": {"callbacks+": [{"class_path": "pytorch_lightning.callbacks.LearningRateMonitor"}]}
}


def config(*fragments: dict[str, Any]) -> dict[str, Any]:
    files = [Path(name).absolute() for name in tiny(*fragments) if name != "--config"]
    return resolve([Run({"seed": 0}, files, {})]).config(0)


@pytest.mark.usefixtures("plain_layout")
@pytest.mark.parametrize(
    "fragments",
    [
        (REGISTRY["everything at once"].acting,),
        (ALL,),
        pytest.param((EVERYTHING, {"data": {"init_args": GROWN}}), marks=pytest.mark.slow),
        (RATES,),
    ],
    ids=["everything", "interventions", "diagnostics", "rates"],
)
def test_all_that_is_logged_was_known(fragments: tuple[dict[str, Any], ...]) -> None:
    resolved = config(*fragments)
    for tag in logged(fit(*tiny(*fragments)).place.directory):
        check_metric("report", tag, [logged_metrics(resolved)])


def test_every_diagnostic_names_its_tags() -> None:
    kinds = [vars(diagnostics)[name] for name in diagnostics.__all__]
    bases = (diagnostics.Diagnostic, diagnostics.ProbeDiagnostic)
    measuring = [
        kind for kind in kinds if issubclass(kind, diagnostics.Diagnostic) and kind not in bases
    ]
    assert [kind.__name__ for kind in measuring if "tags" not in vars(kind)] == []


@cache
def plain_and_measured() -> tuple[dict[str, Any], dict[str, Any]]:
    return config(), config(DIAGNOSTICS["FisherInformation"])


@pytest.mark.parametrize(
    "metric",
    [
        "val_accuracy",
        "val/acc",
        "val_deficit/accuracy",
        "diagnostics/fisher/trce",
        "diagnostics/fisher/trace/a/b",
        "diagnostics_running/fisher/trace",
        "interventions/LayerReset",
        "deficits/Blur",
        "data/stage",
        "fisher/trace",
        3,
        None,
    ],
)
def test_what_nothing_logs_is_refused(metric: Any) -> None:
    plain, measured = plain_and_measured()
    logged = "they log diagnostics/fisher/error"
    with pytest.raises(
        UserError, match=f"report: {re.escape(str(metric))}: no run logs it; {logged}"
    ):
        check_metric("report", metric, [logged_metrics(plain), logged_metrics(measured)])
    check_metric(
        "report", "diagnostics/fisher/trace/conv", [logged_metrics(plain), logged_metrics(measured)]
    )
    with pytest.raises(UserError, match="no run logs it"):
        check_metric("report", "diagnostics/fisher/trace", [logged_metrics(plain)])


def test_what_counts_time_to_accuracy_logs_is_known() -> None:
    resolved = config(DIAGNOSTICS["TimeToAccuracy"])
    for part in ("reached", "epochs", "steps", "last_stage/epochs", "stage1/steps"):
        check_metric(
            "report", f"diagnostics/time_to_accuracy/train_0.1/{part}", [logged_metrics(resolved)]
        )
    for wrong in (
        "val/acuracy",
        "diagnostics/time_to_accuracy/train_0.99/epochs",
        "diagnostics/time_to_accuracy/val_0.1/epochs",
    ):
        with pytest.raises(UserError, match=f"report: {wrong}: no run logs it"):
            check_metric("report", wrong, [logged_metrics(resolved)])


def test_what_others_log_is_not_known() -> None:
    resolved = config({"trainer": {"callbacks+": [{"class_path": "tests.probes.StepLog"}]}})
    assert logged_metrics(resolved) is None
    check_metric("report", "anything", [logged_metrics(config()), logged_metrics(resolved)])
