"""The mean of several networks."""

from pathlib import Path
from typing import Any

import pytest
import torch

from plasticity_lab.analysis.ensemble import ensemble, main
from plasticity_lab.errors import UserError
from tests.runs import fit, logged, tiny
from tests.test_contracts import EVERY_KIND

LAST = "checkpoints/last.ckpt"


def test_each_does_as_in_its_run_and_the_mean_is_of_the_outputs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    files, outputs = [], []
    for seed in ("0", "1", "2"):
        run = fit(*tiny(), "--run_dir", seed, "--seed_everything", seed)
        files.append(Path(seed, LAST))
        images = run.data.normalise(run.data.splits.test.tensor())
        with torch.no_grad():
            outputs.append(run.model.eval()(images))
    targets = run.data.splits.test.targets
    *each, mean = ensemble(files)
    for score, file in zip(each, files, strict=True):
        values = logged(file.parent.parent)
        assert score.metrics["accuracy"] == pytest.approx(values["test/accuracy"][-1][1], abs=1e-6)
        assert score.loss == pytest.approx(values["test/loss"][-1][1], rel=1e-5)
    averaged = sum(outputs) / 3
    assert mean.metrics["accuracy"] == pytest.approx(
        float((averaged.argmax(1) == targets).double().mean()), abs=1e-6
    )
    assert mean.name == "the mean"
    assert main([str(file) for file in files]) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("the mean")


TASKS = {
    "data": {
        "init_args": {
            "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": "1ep"}},
            "stage_transforms": [{"class_path": "datamodules.PixelPermutation"}],
        }
    }
}


@pytest.mark.parametrize(
    "fragment", [TASKS, {"trainer": {"precision": "64-true"}}], ids=["tasks", "64-true"]
)
def test_a_network_is_tested_as_its_run_tests_it(fragment: dict[str, Any]) -> None:
    fit(*tiny(fragment), "--run_dir", "run")
    values = logged(Path("run"))
    for score in ensemble([Path("run", LAST)] * 2):
        assert score.metrics["accuracy"] == pytest.approx(values["test/accuracy"][-1][1], abs=1e-6)
        assert score.loss == pytest.approx(values["test/loss"][-1][1], rel=1e-5)


def test_networks_of_other_tasks_and_objectives_have_no_mean() -> None:
    fit(*tiny(TASKS, EVERY_KIND), "--run_dir", "tasks")
    early, late = (Path(f"tasks/checkpoints/stepstep={step}.ckpt") for step in (1, 9))
    with pytest.raises(UserError, match="another test split than the first"):
        ensemble([early, late])
    for name in ("Classification", "SquaredError"):
        objective = {"class_path": f"lightning_modules.{name}"}
        module = {"class_path": "lightning_modules.Supervised"}
        fragment = {"model": {**module, "init_args": {"objective": objective}}}
        fit(*tiny(fragment), "--run_dir", name)
    with pytest.raises(UserError, match="another objective than the first"):
        ensemble([Path("Classification", LAST), Path("SquaredError", LAST)])


def test_what_has_no_mean_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["one.ckpt"])
    with pytest.raises(SystemExit, match="2"):
        main(["one.ckpt", "two.ckpt"])
    assert capsys.readouterr().err.splitlines() == [
        "ensemble: error: checkpoints: name two or more",
        "ensemble: error: one.ckpt: no such file; name a checkpoint",
    ]
