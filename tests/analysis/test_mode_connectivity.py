"""The line between two networks."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plasticity_lab.analysis.interpolation import (
    barrier,
    barriers,
    evaluate,
    interpolate,
    interpolate_path,
)
from plasticity_lab.analysis.mode_connectivity import linear_mode_connectivity, main, table
from plasticity_lab.surgery.norm_statistics import update_bn
from tests.analysis.test_ensemble import TASKS
from tests.regressions import regression
from tests.runs import fit, logged, tiny

IMAGES = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(30) % 3


def network(seed: int, norm: bool = True) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6) if norm else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(6, 3),
    ).double()


def pairs() -> Iterable[tuple[Tensor, Tensor]]:
    return zip(torch.split(IMAGES, 20), torch.split(LABELS, 20), strict=True)


def test_both_ends_and_a_line_between_equals_are_exact() -> None:
    first, second = network(0).state_dict(), network(1).state_dict()
    first["1.num_batches_tracked"] += 5
    for alpha, end in ((1, first), (0, second)):
        point = interpolate(first, second, alpha)
        assert all(
            torch.equal(point[name], end[name]) for name in end if end[name].is_floating_point()
        )
    assert int(interpolate(first, second, 1)["1.num_batches_tracked"]) == 0
    weights = {"weight": torch.randn(50, dtype=torch.float64)}
    for alpha in torch.linspace(0, 1, 30, dtype=torch.float64).tolist():
        assert torch.equal(interpolate(weights, weights, alpha)["weight"], weights["weight"])
    middle = interpolate(first, second, 0.25)["0.weight"]
    torch.testing.assert_close(
        middle, 0.25 * first["0.weight"] + 0.75 * second["0.weight"], rtol=1e-14, atol=1e-15
    )


def test_the_barrier_is_above_the_mean_of_both_ends() -> None:
    assert barrier([1, 5, 2]) == 3.5
    assert barrier([1, 1.5, 3]) == 1, "of a line without a hill, half its rise"


def test_there_is_no_barrier_from_a_network_to_itself() -> None:
    model = network(0)
    curves = interpolate_path(
        network(1), model.state_dict(), model.state_dict(), 7, pairs, [IMAGES]
    )
    assert set(curves) == {"interpolated", "estimated"}
    assert all(barriers(curve) == {"loss": 0, "error": 0} for curve in curves.values())


def test_loss_and_error_are_means_over_examples() -> None:
    model = network(0)
    loss, error = evaluate(model, pairs)
    logits = model.eval()(IMAGES).detach()
    assert loss == pytest.approx(float(F.cross_entropy(logits, LABELS)), rel=1e-14)
    assert error == float((logits.argmax(1) != LABELS).double().mean())
    assert 0 < error < 1


def test_the_line_of_a_linear_model_is_that_of_its_logits() -> None:
    first, second = (nn.Sequential(nn.Linear(4, 3)).double() for _ in range(2))
    curves = interpolate_path(
        nn.Sequential(nn.Linear(4, 3)).double(),
        first.state_dict(),
        second.state_dict(),
        5,
        pairs,
        (),
    )
    (curve,) = curves.values()
    assert [point.alpha for point in curve] == [0, 0.25, 0.5, 0.75, 1]
    for point in curve:
        logits = (point.alpha * first(IMAGES) + (1 - point.alpha) * second(IMAGES)).detach()
        assert point.loss == pytest.approx(float(F.cross_entropy(logits, LABELS)), rel=1e-12)
        assert point.error == float((logits.argmax(1) != LABELS).double().mean())
    assert barriers(curve)["loss"] <= abs(curve[0].loss - curve[-1].loss) / 2 + 1e-12, "convex"


def test_statistics_are_averages_over_batches_of_the_network_on_the_line() -> None:
    model, batches = network(0), [IMAGES[:10], IMAGES[10:20], IMAGES[20:]]
    update_bn(model, batches)
    hidden = [model[0](batch).detach() for batch in batches]
    norm: nn.BatchNorm1d = model[1]  # type: ignore[assignment]
    torch.testing.assert_close(
        norm.running_mean, sum(part.mean(0) for part in hidden) / 3, rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        norm.running_var, sum(part.var(0) for part in hidden) / 3, rtol=1e-12, atol=1e-12
    )
    two = network(1)
    curves = interpolate_path(network(2), model.state_dict(), two.state_dict(), 3, pairs, batches)
    assert curves["estimated"][2].loss == curves["interpolated"][2].loss, (
        "the first network has these statistics"
    )
    middle = network(2)
    middle.load_state_dict(interpolate(model.state_dict(), two.state_dict(), 0.5))
    update_bn(middle, batches)
    assert curves["estimated"][1][1:] == evaluate(middle, pairs)
    assert curves["estimated"][1] != curves["interpolated"][1]


def test_two_runs_are_connected_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [fit(*tiny(), "--seed_everything", seed).place.directory for seed in ("0", "1")]
    first, second = (directory / "checkpoints/last.ckpt" for directory in runs)
    before = sorted(path for directory in runs for path in directory.rglob("*"))
    capsys.readouterr()
    assert main([str(first), str(second), "--points", "5", "--json", "line.json"]) == 0
    assert sorted(path for directory in runs for path in directory.rglob("*")) == before
    curves = json.loads(Path("line.json").read_text())
    points = curves["interpolated"]["points"]
    assert len(points) == 5
    assert Path("line.png").read_bytes().startswith(b"\x89PNG")
    run_log = logged(runs[0])
    assert points[-1]["loss"] == pytest.approx(run_log["test/loss"][-1][1], rel=1e-5)
    assert points[-1]["error"] == pytest.approx(1 - run_log["test/accuracy"][-1][1], abs=1e-6)
    assert points[0]["loss"] != points[-1]["loss"]
    barrier = max(point["loss"] for point in points) - (points[0]["loss"] + points[-1]["loss"]) / 2
    assert curves["interpolated"]["barrier"]["loss"] == barrier
    assert curves["estimated"]["points"][2] != points[2]
    printed = capsys.readouterr().out
    assert (
        f"{barrier:10.4f}{points[0]['loss']:10.4f}{points[2]['loss']:10.4f}{points[-1]['loss']:10.4f}"
        in printed
    )
    assert printed.splitlines()[-1] == "picture: line.png"
    picture = runs[0] / "mode_connectivity.png"
    assert main([str(first), str(first), "--points", "2"]) == 0
    drawn = picture.read_bytes()

    def refused(*arguments: object) -> str:
        capsys.readouterr()
        try:
            code: object = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        assert code == 2
        (message,) = capsys.readouterr().err.splitlines()
        return message

    assert f"json: {picture}: is there already, and is left alone; name a new file" in refused(
        first, second
    )
    assert picture.read_bytes() == drawn
    picture.unlink()
    assert "json: line.json: is there already, and is left alone; name a new file" in refused(
        first, second, "--json", "line.json"
    )
    Path("line.json").unlink()
    assert "json: line.png: is there already, and is left alone" in refused(
        first, second, "--json", "line.json"
    )

    assert (
        refused(first, "nowhere.ckpt")
        == "mode_connectivity: error: nowhere.ckpt: no such file; name a checkpoint"
    )
    assert (
        refused(first, second, "--points", 1)
        == "mode_connectivity: error: points: 1: set 2 or more"
    )
    shutil.copy(first, "alone.ckpt")
    assert "no config.yaml in" in refused("alone.ckpt", first)
    without = {
        "model": {
            "init_args": {
                "network": {"class_path": "tests.networks.SmallNet", "init_args": {"norm": False}}
            }
        }
    }
    third = (
        fit(*tiny(without), "--trainer.max_epochs", "1").place.directory / "checkpoints/last.ckpt"
    )
    assert "of another network" in refused(first, third)
    Path("text.ckpt").write_text("no checkpoint")
    assert "truncated or not a checkpoint" in refused(first, "text.ckpt")


def test_the_table_has_a_row_for_each_curve_and_measure() -> None:
    curves = interpolate_path(
        network(2), network(0).state_dict(), network(1).state_dict(), 3, pairs, [IMAGES]
    )
    assert len(table(curves).splitlines()) == 5


def test_regressions_have_no_error_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    end = fit(*tiny(regression())).place.directory / "checkpoints/last.ckpt"
    with pytest.raises(SystemExit) as stopped:
        main([str(end), str(end)])
    assert stopped.value.code == 2
    assert "data: MeanGrey: has no classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fragment", [TASKS, {"trainer": {"precision": "64-true"}}], ids=["tasks", "64-true"]
)
def test_ends_are_tested_as_their_runs_test_them(fragment: dict[str, Any]) -> None:
    fit(*tiny(fragment), "--run_dir", "run")
    accuracy = logged(Path("run"))["test/accuracy"][-1][1]
    file = Path("run/checkpoints/last.ckpt")
    for point in linear_mode_connectivity(file, file, 2)["interpolated"]:
        assert point.error == pytest.approx(1 - accuracy, abs=1e-6)
