"""The mean of several networks."""

from pathlib import Path

import pytest
import torch

from plasticity_lab.analysis.ensemble import ensemble, main
from tests.runs import fit, logged, tiny

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


def test_what_has_no_mean_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["one.ckpt"])
    with pytest.raises(SystemExit, match="2"):
        main(["one.ckpt", "two.ckpt"])
    assert capsys.readouterr().err.splitlines() == [
        "ensemble: error: checkpoints: name two or more",
        "ensemble: error: one.ckpt: no such file; name a checkpoint",
    ]
