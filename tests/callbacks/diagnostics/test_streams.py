"""Diagnostics where stages of the data replace each other."""

from typing import Any

import pytest
import torch

from tests.runs import fit, logged, tiny

STILL: dict[str, Any] = {
    "trainer": {"max_epochs": 3},
    "model": {
        "init_args": {
            "network": {
                "class_path": "lightning_modules.networks.MLP",
                "init_args": {"widths": [20], "norm": "none"},
            },
            "optimizer": {"init_args": {"lr": 1e-30, "weight_decay": 0.0}},
        }
    },
}
"""Nothing changes but the data."""

STREAMS: dict[str, dict[str, Any]] = {
    "tasks": {
        "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": "1ep"}},
        "stage_transforms": [
            {"class_path": "datamodules.PixelPermutation"},
            {"class_path": "datamodules.LabelRemap"},
        ],
    },
    "binary": {
        "growth": {
            "class_path": "datamodules.ClassStream",
            "init_args": {
                "classes_per_stage": 2,
                "recurrence": "redraw",
                "relabel": True,
                "every": "1ep",
            },
        },
        "batch_size": 5,
    },
}


def run(stream: str, name: str) -> dict[str, list[float]]:
    node = {"class_path": f"callbacks.{name}", "init_args": {"every": "1ep"}}
    fragment = {
        "trainer": {"callbacks+": [node]},
        "data": {"init_args": {"dataset": {"init_args": {"subset": 103}}, **STREAMS[stream]}},
    }
    finished = fit(*tiny(STILL, fragment))
    return {
        tag: [value for _, value in points]
        for tag, points in logged(finished.place.directory).items()
        if tag.startswith("diagnostics/")
    }


@pytest.mark.parametrize("stream", STREAMS)
def test_what_compares_networks_does_so_on_the_same_examples(stream: str) -> None:
    assert run(stream, "CKA")["diagnostics/cka"] == pytest.approx([1.0] * 4)
    assert run(stream, "Churn")["diagnostics/churn/outputs"] == pytest.approx([0.0] * 3, abs=1e-6)


@pytest.mark.parametrize("stream", STREAMS)
def test_names_of_a_stage_are_no_wrong_labels(stream: str) -> None:
    values = run(stream, "Forgetting")
    assert not any("wrong" in tag for tag in values), sorted(values)


def test_training_begins_from_the_weights_in_averages_too() -> None:
    """Also in an average that starts late."""
    source = fit(*tiny({"model": STILL["model"]}), "--run_dir", "source")
    average = {
        "class_path": "pytorch_lightning.callbacks.EMAWeightAveraging",
        "init_args": {"update_starting_at_step": 100},
    }
    weights = str(source.place.directory.absolute() / "checkpoints/last.ckpt")
    fragment = {
        "trainer": {"callbacks+": [average]},
        "model": {"init_args": {"initial_weights": weights}},
    }
    finished = fit(*tiny(STILL, fragment))
    saved = torch.load(finished.place.directory / "checkpoints/last.ckpt", weights_only=True)
    expected = torch.load(weights, weights_only=True)["state_dict"]
    for name, value in saved["state_dict"].items():
        assert torch.allclose(value, expected[name]), name
