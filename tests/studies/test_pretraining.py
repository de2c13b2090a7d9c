"""A study whose runs begin from the weights of another study's runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from plasticity_lab.errors import UserError
from plasticity_lab.studies.main import main
from plasticity_lab.studies.open_study import open_provisional, open_study
from plasticity_lab.studies.study_context import StudyContext
from plasticity_lab.surgery.initial_weights import read_weights, weights_hash
from tests.runs import TINY

SOURCE: dict[str, Any] = {
    "name": "source",
    "config": ["tiny.yaml"],
    "axes": [{"rate": [0.1, 0.2]}, {"seed_everything": [0, 1]}],
    "set": {"model.init_args.optimizer.init_args.lr": "{rate}", "trainer.max_epochs": 1},
    "report": {"metric": "val/accuracy", "x": "rate", "figure": "bar"},
}
TARGET: dict[str, Any] = {
    "name": "target",
    "config": ["tiny.yaml"],
    "pretraining": "source.yaml",
    "arms": {
        "fresh": {},
        "warm": {"model.init_args.initial_weights": "{pretrained}"},
    },
    "axes": [{"rate": [0.1, 0.2]}, {"seed_everything": [0, 1]}],
    "set": {
        "data.init_args.dataset.init_args.subset": 60,
        "model.init_args.optimizer.init_args.lr": "{rate}",
        "trainer.max_epochs": 1,
    },
    "report": {"metric": "val/accuracy", "x": "arm", "hue": "rate", "figure": "bar"},
}


def write(target: dict[str, Any] | None = None, source: dict[str, Any] | None = None) -> None:
    for name, content in (
        ("tiny", TINY),
        ("source", {**SOURCE, **(source or {})}),
        ("target", {**TARGET, **(target or {})}),
    ):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def opened() -> StudyContext:
    return open_study(Path("target.yaml"), Path("runs").absolute())


def only_seed_0(study: dict[str, Any]) -> dict[str, Any]:
    """One run of each arm, to be trained quickly."""
    axes = [{"rate": [0.1]}, {"seed_everything": [0]}]
    return {**study, "axes": axes}


def test_the_study_of_the_weights_comes_first() -> None:
    write()
    work = opened()
    assert (work.study.name, work.study.comes_before) == ("source", "target")
    later = open_provisional(Path("target.yaml"), Path("runs").absolute())
    names = [run.name for run in later.study.runs]
    expected = {
        f"{arm},rate={rate},seed={seed}"
        for arm in ("fresh", "warm")
        for rate in (0.1, 0.2)
        for seed in (0, 1)
    }
    assert {*names} == expected, "claims may name all of them"
    assert len(later.opened.arms) == 2, "to be checked once"


@pytest.mark.slow
def test_runs_begin_from_the_weights_of_their_seed_and_variables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write()
    with pytest.raises(SystemExit) as stopped:
        main(["run", "target.yaml"])
    assert not stopped.value.code, capsys.readouterr().err
    work = opened()
    assert (work.study.name, work.study.comes_before) == ("target", "")
    for number, run in enumerate(work.study.runs):
        file = work.opened.config(number)["model"]["init_args"]["initial_weights"]
        if run.values["arm"] == "fresh":
            assert file is None
            continue
        rate, seed = run.values["rate"], run.values["seed"]
        assert (
            Path(file)
            == Path(f"runs/studies/source/rate={rate},seed={seed}/checkpoints/last.ckpt").absolute()
        )
        checkpoint = work.folder(number) / "checkpoints/last.ckpt"
        began = torch.load(checkpoint, weights_only=True)["initial_weights"]
        assert began == weights_hash(read_weights(Path(file)))
    # What is done is done: nothing is trained again, and the source is looked up only.
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["run", "target.yaml"])
    assert not stopped.value.code
    assert "epoch/s" not in capsys.readouterr().err


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such file": (
        {"pretraining": "none.yaml"},
        "pretraining: none.yaml: there is no such other study; name its file",
    ),
    "itself": ({"pretraining": "target.yaml"}, "there is no such other study"),
    "nothing uses it": ({"arms": {}}, "pretraining: source.yaml: no run begins from its weights"),
    "nothing to use": ({"pretraining": None}, "pretraining: None: there is no such other study"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(case: str) -> None:
    content, message = BAD[case]
    write(content)
    with pytest.raises(UserError, match=message):
        opened()


def test_weights_need_a_study_that_trains_them() -> None:
    write()
    content = {key: value for key, value in TARGET.items() if key != "pretraining"}
    Path("target.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(UserError, match=r"\{pretrained\}: use numbers"):
        opened()


def test_studies_that_begin_from_each_other_are_named() -> None:
    write(source={"pretraining": "target.yaml", "arms": TARGET["arms"]})
    message = "pretraining: target.yaml: studies begin from the weights of each other; remove it"
    with pytest.raises(UserError, match=message):
        opened()


def test_a_plan_says_which_study_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    write()
    for command in ("plan", "status"):
        with pytest.raises(SystemExit):
            main([command, "target.yaml"])
        assert "source comes before target\n" in capsys.readouterr().out


def test_a_run_that_no_run_belongs_to_is_named_before_anything_is_trained() -> None:
    write({"axes": [{"rate": [0.1]}, {"seed_everything": [7]}]}, only_seed_0({}))
    message = r"warm,rate=0\.1,seed=7: no run of source has its rate, seed"
    with pytest.raises(UserError, match=message):
        opened()
