"""Diagnostics on checkpoints."""

import csv
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml

from plasticity_lab.analysis.measure import main, measure
from tests.registry import DIAGNOSTIC_NODES, DIAGNOSTICS
from tests.runs import fit, logged, tiny

NODES = DIAGNOSTIC_NODES
LISTED = {"trainer": {"callbacks+": NODES}}
PER_STEP = ("update_ratio", "subspace_overlap")
"""What compares with the step or the measurement before, which no checkpoint holds."""
UNMEASURED = (*PER_STEP, "time_to", "fresh_reference")
"""What no checkpoint has."""
KEEPING = {
    "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
    "init_args": {"every_n_train_steps": 3, "save_top_k": -1, "filename": "{step}"},
}
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "plain": [],
    "deficit, growth, rate": [
        {
            "data": {
                "init_args": {
                    "growth": {
                        "class_path": "datamodules.UniformGrowth",
                        "init_args": {"counts": [70, 100], "at": ["1ep"]},
                    },
                    "deficits": [
                        {
                            "class_path": "datamodules.Blur",
                            "init_args": {"size": 4, "during": ["1ep", "3ep"]},
                        }
                    ],
                }
            },
            "trainer": {
                "callbacks+": [
                    {
                        "class_path": "callbacks.LearningRateFactor",
                        "init_args": {"levels": {"1ep": 3.0}},
                    },
                    {
                        "class_path": "callbacks.FisherInformation",
                        "init_args": {
                            "every": "1ep",
                            "examples": 30,
                            "impaired": True,
                            "norm_statistics": "running",
                        },
                    },
                ]
            },
        }
    ],
}


def single(value: float) -> float:
    """Round to single precision, as event files do."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


@pytest.mark.usefixtures("plain_layout")
@pytest.mark.parametrize(
    "name",
    [name if name == "plain" else pytest.param(name, marks=pytest.mark.slow) for name in SETTINGS],
)
def test_a_checkpoint_has_the_values_that_its_run_logged(name: str) -> None:
    finished = fit(*tiny(LISTED, *SETTINGS[name]))
    directory = finished.place.directory
    measurement = measure(directory / "checkpoints/last.ckpt")
    assert {*measurement.left_out} == {"TimeToAccuracy", "FreshReference"} | (
        {"LearningRateFactor"} if "rate" in name else set()
    )
    values = {
        tag: value for tag, value in measurement.values.items() if isinstance(value, float | int)
    }
    expected = {
        tag: points[-1]
        for tag, points in logged(directory).items()
        if tag.startswith("diagnostics") and not any(part in tag for part in UNMEASURED)
    }
    assert {tag: (measurement.step, single(value)) for tag, value in values.items()} == expected
    assert len(expected) > 60


@pytest.mark.slow
def test_a_checkpoint_inside_an_epoch_too() -> None:
    often = {
        "class_path": "callbacks.KernelAlignment",
        "init_args": {"every": "3st", "examples": 20},
    }
    finished = fit(*tiny({"trainer": {"callbacks+": [often, KEEPING]}}))
    directory = finished.place.directory
    for step in (3, 6, 9, 12):
        measurement = measure(directory / f"checkpoints/step={step}.ckpt")
        at = {
            tag: dict(points)[step - 1]
            for tag, points in logged(directory).items()
            if "/kernel/" in tag
        }
        values = {
            tag: value
            for tag, value in measurement.values.items()
            if isinstance(value, float | int)
        }
        assert {tag: single(value) for tag, value in values.items()} == at
        assert "diagnostics/kernel/stability" in at


def test_a_file_adds_diagnostics_to_a_run_that_had_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished = fit(*tiny())
    directory = finished.place.directory
    weights = (directory / "checkpoints/last.ckpt").read_bytes()
    Path("more.yaml").write_text(yaml.safe_dump(LISTED))
    assert main([str(directory / "checkpoints/last.ckpt"), "--config", "more.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "diagnostics/fisher/trace" in printed
    assert "left out: " in printed
    history = "checkpoint: does not hold what it has followed since the start"
    for name in ("Forgetting", "CKA", "WeightDistance"):
        assert f"{name} ({history})" in printed
    (folder,) = directory.glob("measured-*")
    with (folder / "measured.csv").open() as file:
        values = {row["tag"]: float(row["value"]) for row in csv.DictReader(file)}
    tag = "diagnostics/fisher/trace"
    assert logged(folder)[tag] == [(11, single(values[tag]))]
    assert (directory / "checkpoints/last.ckpt").read_bytes() == weights


def test_what_a_network_does_not_allow_is_left_out() -> None:
    network = {"model": {"init_args": {"network": {"class_path": "tests.networks.OnceNet"}}}}
    finished = fit(*tiny(network))
    Path("more.yaml").write_text(yaml.safe_dump(LISTED))
    path = finished.place.directory / "checkpoints/last.ckpt"
    measurement = measure(path, ["--config", "more.yaml"])
    assert "network: has no second derivatives" in measurement.left_out["KernelAlignment"]
    assert "diagnostics/fisher/trace" in measurement.values


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["."], r".: is a directory; name a checkpoint in it, as ./checkpoints/last.ckpt"),
        (["nowhere.ckpt"], "nowhere.ckpt: no such file; name a checkpoint"),
        (["alone.ckpt"], "alone.ckpt: no config.yaml in "),
        (["{run}"], "trainer.callbacks: holds no diagnostics; list them in a file for --config"),
        (["{run}", "--config", "none.yaml"], "none.yaml"),
        (["{run}", "--nonsense", "1"], "nonsense"),
        ([], "the following arguments are required: checkpoints"),
        (["--config", "rank.yaml", "--config", "rank.yaml", "{run}"], "FeatureRank: stands twice"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finished = fit(*tiny(), "--trainer.max_epochs", "1")
    directory = finished.place.directory
    before = sorted(directory.rglob("*"))
    Path("alone.ckpt").write_text("")
    Path("rank.yaml").write_text(yaml.safe_dump(DIAGNOSTICS["FeatureRank"]))
    path = str(directory / "checkpoints/last.ckpt")
    with pytest.raises(SystemExit) as stop:
        main([argument.format(run=path) for argument in arguments])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 1
    assert message in error[0]
    assert sorted(directory.rglob("*")) == before


def test_measurements_of_one_second_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    directory = fit(*tiny(), "--trainer.max_epochs", "1").place.directory
    Path("mine.yaml").write_text(yaml.safe_dump(DIAGNOSTICS["FeatureRank"]))
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    for _ in range(3):
        assert main(["--config", "mine.yaml", str(directory / "checkpoints/last.ckpt")]) == 0
    assert len(list(directory.glob("measured-*/measured.csv"))) == 3
