"""A run that is trained in segments is the run, to the bit."""

from pathlib import Path
from typing import Any

import pytest

from plasticity_lab.studies.resolve_configs import resolve
from plasticity_lab.studies.state_hash import state_hash
from plasticity_lab.studies.study_run import Run
from tests.callbacks.interventions.arms import ALL
from tests.registry import REGISTRY, RESUMED_TOGETHER, VARIANTS
from tests.runs import BRIEF, fit, logged, tiny
from tests.studies.segments import train

RUNS: dict[str, dict[str, Any]] = {
    **VARIANTS,
    **{name: entry.acting for name, entry in REGISTRY.items() if name not in RESUMED_TOGETHER},
    "all interventions": ALL,
}


def config(*fragments: dict[str, Any]) -> dict[str, Any]:
    files = [Path(name).absolute() for name in tiny(*fragments) if name != "--config"]
    return resolve([Run({"seed": 0}, files, {})]).config(0)


def check(*fragments: dict[str, Any]) -> None:
    settings = config(BRIEF, *fragments)
    finished = fit(*tiny(BRIEF, *fragments))
    state, logs = train(settings, Path("segments").absolute(), 1, 2, 3)
    assert state["weights and buffers"] == state_hash(finished.model.state_dict())
    assert state["optimizers"] == state_hash(
        [optimizer.state_dict() for optimizer in finished.trainer.optimizers]
    )
    assert state["schedules"] == state_hash(
        [
            scheduler_config.scheduler.state_dict()
            for scheduler_config in finished.trainer.lr_scheduler_configs
        ]
    )
    assert logs == logged(finished.place.directory)


EVERYDAY = ("everything at once", "stages that end the run")


@pytest.mark.parametrize("name", EVERYDAY)
def test_segments_are_the_run(name: str) -> None:
    check(RUNS[name])


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in RUNS if name not in (*EVERYDAY, "HareTortoise")])
def test_segments_are_the_run_with(name: str) -> None:
    """But with averages of weights, which studies do not divide."""
    check(RUNS[name])


def test_a_segment_ends_where_it_should() -> None:
    from plasticity_lab.studies.segment import train_segment
    from plasticity_lab.studies.task import Task

    longer = config({"trainer": {"min_epochs": 3}})
    Path("place").mkdir()
    with pytest.raises(RuntimeError, match="the segment ended with epoch 3, not 2"):
        train_segment(
            Task("state", None, None, 0, 2, longer, False, 1, str(Path("place").absolute()))
        )


def bad(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "trainer": {
            "callbacks+": [{"class_path": f"tests.studies.bad.{name}", "init_args": arguments}]
        }
    }


@pytest.mark.parametrize("name", ["Counter", "Unkeyed"])
def test_memory_that_no_checkpoint_holds_shows(name: str) -> None:
    """What the comparison would miss if it compared too little."""
    with pytest.raises(AssertionError):
        check(bad(name))


@pytest.mark.parametrize(
    ("trunk", "arm"),
    [
        ({"trainer": {"max_epochs": 4, **bad("HalfTheRun")["trainer"]}}, bad("HalfTheRun")),
        ({"trainer": {"max_epochs": 4, **bad("HiddenLength")["trainer"]}}, bad("HiddenLength")),
        (bad("KeyedByTimes", at=["1ep", "50%"]), bad("KeyedByTimes", at=["1ep", "2ep"])),
    ],
)
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks")
def test_what_an_arm_hides_shows(trunk: dict[str, Any], arm: dict[str, Any]) -> None:
    """Continued from the trunk, as by a study that believes its class, the arm differs."""
    unshared, _ = train(config(arm), Path("alone").absolute(), 3)
    trained, _ = train(config(trunk), Path("fork").absolute(), 2)
    forked, _ = train(config(arm), Path("fork").absolute(), 2, 3)
    assert trained["clock"].startswith("epoch 2")
    assert forked != unshared
