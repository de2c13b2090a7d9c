"""Studies of runs that end when their last data stage does."""

import re
from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.studies import local_engine
from plasticity_lab.studies.commands import plan, run, status
from plasticity_lab.studies.report import write_report
from plasticity_lab.studies.scalars import read_all
from plasticity_lab.studies.verify import verify
from tests.runs import fit, logged, tiny
from tests.studies.small import acting, small


def waiting(accuracy: float, epochs: int, **more: Any) -> dict[str, Any]:
    until = {"train_accuracy": accuracy, **more}
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"counts": [50, 100], "until": until},
    }
    return {
        "data.init_args.growth": growth,
        "trainer.max_epochs": epochs,
        **acting("TimeToAccuracy", accuracy=accuracy),
    }


@pytest.mark.slow
def test_a_run_may_end_before_its_last_segment() -> None:
    """The first arm ends after 2 of at most 60 epochs; the second arm is cut off.

    The first ends inside the first of its two segments.
    """
    arms = {"early": waiting(0.01, 60), "never": waiting(1.0, 3)}
    report = {
        "metric": "diagnostics/time_to_accuracy/train_0.01/last_stage/epochs",
        "figure": "bar",
    }
    work = small(arms, seeds=1, report=report)
    text = plan(work)
    assert "small: 2 runs of at most 63 epochs" in text
    assert re.search(r"^early,seed=0  at most 60 epochs", text, re.MULTILINE)
    assert run(work, 2, local_engine.run) == []
    assert status(work).startswith("2 done, 0 running, 0 failed, 0 waiting")
    early = {
        "data": {"init_args": {"growth": arms["early"]["data.init_args.growth"]}},
        "trainer": {"max_epochs": 60, "callbacks+": arms["early"]["trainer.callbacks+"]},
    }
    finished = fit(*tiny(early), "--run_dir", "alone")
    assert finished.trainer.current_epoch == 2
    assert read_all(work.folder(0)) == logged(Path("alone"))
    assert verify(work, number=0) == "early,seed=0"
    report_text = (write_report(work) / "table.md").read_text()
    assert "| early | 1 | 1.00 |" in report_text
    assert (
        f"Of the finished runs 1 have no value of {report['metric']}, and are not in the "
        "table: never,seed=0."
    ) in report_text
    assert (
        "Of the finished runs 1 reached max_epochs before their last data stage had ended: "
        "never,seed=0."
    ) in report_text
    assert not run(work, 1, local_engine.run), "nothing is left to train"
