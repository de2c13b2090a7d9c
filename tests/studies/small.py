"""A small study on disk."""

from pathlib import Path
from typing import Any

import yaml

from plasticity_lab.studies.open_study import open_study
from plasticity_lab.studies.study_context import StudyContext
from tests.runs import TINY

_BLUR = {"class_path": "datamodules.Blur", "init_args": {"size": 4}}
_GROWTH = {
    "class_path": "datamodules.UniformGrowth",
    "init_args": {"fractions": [0.5, 1.0], "at": ["50%"]},
}


def blurred(epochs: int) -> dict[str, Any]:
    deficit = {**_BLUR, "init_args": {"size": 4, "during": ["0ep", f"{epochs}ep"]}}
    return {"data.init_args.deficits": [deficit], "trainer.max_epochs": epochs + 2}


def acting(name: str, **arguments: Any) -> dict[str, Any]:
    return {"trainer.callbacks+": [{"class_path": f"callbacks.{name}", "init_args": arguments}]}


ARMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "blurred for 1": blurred(1),
    "blurred for 2": blurred(2),
    "decay removed at 1": acting("WeightDecaySchedule", levels={"1ep": 0.0}),
    "decay removed at 2": acting("WeightDecaySchedule", levels={"2ep": 0.0}),
    "shrunk by half": acting("ShrinkPerturb", at=["2ep"], shrink=0.5, perturb=0.1),
    "shrunk by a fifth": acting("ShrinkPerturb", at=["2ep"], shrink=0.8, perturb=0.1),
    "warm": {"data.init_args.growth": _GROWTH, "trainer.max_epochs": 4},
    "warm and reset": {
        "data.init_args.growth": _GROWTH,
        "trainer.max_epochs": 4,
        **acting("LayerReset", at=["stages"], last=1),
    },
}


def small(
    arms: dict[str, dict[str, Any]],
    seeds: int = 2,
    share: bool = True,
    root: str = "runs",
    trust_code: bool = False,
    **content: Any,
) -> StudyContext:
    """Write and open a study of some arms of the tiny run."""
    Path("tiny.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    axes = [{"seed_everything": list(range(seeds))}]
    study = {"name": "small", "config": ["tiny.yaml"], "arms": arms, "axes": axes, **content}
    Path("small.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return open_study(Path("small.yaml"), Path(root).absolute(), share=share, trust_code=trust_code)
