"""What a study's keys come to in the configs of its runs."""

from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies.overrides import nested
from tests.studies.small import acting, small

DEFICITS = "data.init_args.deficits"


def blur(size: int) -> dict[str, Any]:
    return {"class_path": "datamodules.Blur", "init_args": {"size": size, "during": ["0ep", "1ep"]}}


def classes(nodes: list[dict[str, Any]]) -> list[str]:
    return [node["class_path"].rpartition(".")[2] for node in nodes]


def test_what_all_runs_have_is_kept_by_an_arm_that_adds_to_it() -> None:
    common = {**acting("OptimizerReset", at=["1ep"]), DEFICITS: [blur(4)]}
    arm = {**acting("LayerReset", at=["1ep"], last=1), f"{DEFICITS}+": [blur(8)]}
    Path("flip.yaml").write_text(
        "data: {init_args: {deficits: [{class_path: datamodules.VerticalFlip, init_args: "
        "{during: [0ep, 1ep]}}]}}"
    )
    flipped = {"config": ["flip.yaml"], f"{DEFICITS}+": [blur(8)]}
    base = small({"plain": {}, "treated": arm}, seeds=1, set=common).opened.arms
    assert classes(base[0]["trainer"]["callbacks"])[-1:] == ["OptimizerReset"]
    assert classes(base[1]["trainer"]["callbacks"])[-2:] == ["OptimizerReset", "LayerReset"]
    assert [node["init_args"]["size"] for node in base[1]["data"]["init_args"]["deficits"]] == [
        4,
        8,
    ]
    (from_a_file,) = small({"flipped": flipped}, seeds=1).opened.arms
    assert classes(from_a_file["data"]["init_args"]["deficits"]) == ["VerticalFlip", "Blur"]


def test_a_run_that_trains_nothing_is_refused() -> None:
    axes = [{"removed": [1, 0]}, {"seed_everything": [0]}]
    with pytest.raises(
        UserError,
        match=r"removed=0,seed=0: trainer.max_epochs: 0: nothing would be trained; set 1 or more",
    ):
        small({}, axes=axes, set={"trainer.max_epochs": "{removed}"})


def test_parts_of_what_has_none_are_refused() -> None:
    rate = {"model.init_args.lr_scheduler.init_args.gamma": 0.5}
    with pytest.raises(
        UserError,
        match=r"init_args\.gamma: model\.init_args\.lr_scheduler is set to None, which has no keys",
    ):
        small({"plain": rate}, seeds=1, set={"model.init_args.lr_scheduler": None})


def test_what_a_callback_refuses_is_said_with_its_arm() -> None:
    twice = acting("PlasticityInjection", at=["1ep", "2ep"])
    with pytest.raises(UserError, match=r"^injected,seed=0: at: 1ep, 2ep: a head is injected once"):
        small({"plain": {}, "injected": twice})


def test_parts_of_what_all_runs_have_stay_as_they_were_written() -> None:
    written = {"optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}}}
    keys = {**written, "optimizer.init_args.lr": 0.2}
    assert nested(keys)["optimizer"]["init_args"] == {"lr": 0.2}
    assert written["optimizer"]["init_args"] == {"lr": 0.1}
