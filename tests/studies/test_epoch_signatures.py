"""Which epochs two runs have in common."""

from typing import Any

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.studies.classes import why_not_shareable
from plasticity_lab.studies.code_hashes import CodeHashes, project_sources
from plasticity_lab.studies.epoch_signatures import epoch_signatures
from plasticity_lab.studies.plan import StateChain, state_chain
from plasticity_lab.studies.resolve_configs import resolve
from plasticity_lab.studies.study_run import Run
from tests.registry import REGISTRY
from tests.runs import TINY, tiny


def paths(*arms: dict[str, Any]) -> list[StateChain]:
    """Resolve the tiny run with each of some fragments."""
    from pathlib import Path as File

    runs = []
    for number, arm in enumerate(arms):
        files = [name for name in tiny(arm) if name != "--config"]
        config_files = [File(name).rename(f"{number}-{name}").absolute() for name in files]
        runs.append(Run({"arm": number, "seed": 0}, config_files, {}))
    code = CodeHashes(project_sources())
    resolved = resolve(runs)
    signatures = [epoch_signatures(arm, code) for arm in resolved.arms]
    return [
        state_chain(signatures[arm], seed, "salt")
        for arm, seed in zip(resolved.arm_of_run, resolved.seeds, strict=True)
    ]


def common(arm: dict[str, Any], other_arm: dict[str, Any]) -> int:
    """Return how many epochs two arms have in common, -1 if not even the beginning."""
    first, second = (path.states for path in paths(arm, other_arm))
    return sum(a == b for a, b in zip(first, second, strict=False)) - 1


def epochs(count: int, *parts: dict[str, Any]) -> dict[str, Any]:
    trainer: dict[str, Any] = {"max_epochs": count}
    merged: dict[str, Any] = {"trainer": trainer}
    for part in parts:
        for key, value in part.items():
            if key == "trainer":
                trainer["callbacks+"] = [*trainer.get("callbacks+", []), *value["callbacks+"]]
            else:
                merged[key] = value
    return merged


def callback(name: str, **arguments: Any) -> dict[str, Any]:
    path = name if "." in name else f"callbacks.{name}"
    return {"trainer": {"callbacks+": [{"class_path": path, "init_args": arguments}]}}


def blur(start: str, stop: str, **more: Any) -> dict[str, Any]:
    return {
        "data": {
            "init_args": {
                "deficits": [
                    {
                        "class_path": "datamodules.Blur",
                        "init_args": {"size": 4, "during": [start, stop]},
                    }
                ],
                **more,
            }
        }
    }


def growing(kind: str = "UniformGrowth", **arguments: Any) -> dict[str, Any]:
    return {
        "data": {
            "init_args": {"growth": {"class_path": f"datamodules.{kind}", "init_args": arguments}}
        }
    }


def blur_levels(levels: dict[str, Any], **more: Any) -> dict[str, Any]:
    node = {"class_path": "datamodules.Blur", "init_args": {"levels": levels}}
    return {"data": {"init_args": {"deficits": [node], **more}}}


def smoothed(label_smoothing: float) -> dict[str, Any]:
    arguments = {"label_smoothing": label_smoothing}
    return {"class_path": "torch.nn.CrossEntropyLoss", "init_args": arguments}


SHARED: dict[str, tuple[dict[str, Any], dict[str, Any], int]] = {
    "removal times with other lengths": (
        epochs(24, blur("0ep", "12ep")),
        epochs(28, blur("0ep", "16ep")),
        12,
    ),
    "a share and the same epoch": (
        epochs(24, blur("0ep", "50%")),
        epochs(40, blur("0ep", "12ep")),
        24,
    ),
    "a run that begins another": (epochs(8), epochs(12), 8),
    "two shots and two others": (
        epochs(24, callback("ShrinkPerturb", at=["12ep", "16ep"], shrink=0.5)),
        epochs(24, callback("ShrinkPerturb", at=["12ep", "20ep"], shrink=0.5)),
        16,
    ),
    "a shot with other arguments": (
        epochs(8, callback("ShrinkPerturb", at=["50%"], shrink=0.5)),
        epochs(8, callback("ShrinkPerturb", at=["50%"], shrink=0.4)),
        4,
    ),
    "a level and none": (
        epochs(8, callback("WeightDecaySchedule", levels={"5ep": 0.0})),
        epochs(8),
        5,
    ),
    "levels that part": (
        epochs(8, callback("WeightDecaySchedule", levels={"0ep": 0.0, "3ep": 0.1})),
        epochs(8, callback("WeightDecaySchedule", levels={"0ep": 0.0, "6ep": 0.1})),
        3,
    ),
    "a window that ends with the run": (
        epochs(8, blur("2ep", "100%")),
        epochs(8, blur("2ep", "6ep")),
        6,
    ),
    "a window and none": (epochs(8, blur("2ep", "4ep")), epochs(8), 2),
    "arrivals and a shot at them": (
        epochs(8, growing(fractions=[0.5, 1.0], at=["50%"])),
        epochs(
            8,
            growing(fractions=[0.5, 1.0], at=["50%"]),
            callback("ShrinkPerturb", at=["stages"], shrink=0.4),
        ),
        4,
    ),
    "growth that continues otherwise": (
        epochs(9, growing(fractions=[0.2, 0.5, 1.0], at=["3ep", "6ep"])),
        epochs(9, growing(fractions=[0.2, 0.5, 0.8], at=["3ep", "6ep"])),
        6,
    ),
    "growth that waits, and a shot at its stages": (
        epochs(8, growing(step=50, until={"train_accuracy": 0.9})),
        epochs(
            8,
            growing(step=50, until={"train_accuracy": 0.9}),
            callback("OptimizerReset", at=["stages"]),
        ),
        0,
    ),
    "a bias that fades over the run": (
        epochs(8, growing("SmoothTransition", gamma=0.5)),
        epochs(9, growing("SmoothTransition", gamma=0.5)),
        0,
    ),
    "steps, which no plan knows": (
        epochs(8, callback("OptimizerReset", at=["10st"])),
        epochs(8, callback("OptimizerReset", at=["20st"])),
        0,
    ),
    "steps and a share in levels": (
        epochs(8, callback("WeightDecaySchedule", levels={"5st": 0.1, "50%": 0.0})),
        epochs(16, callback("WeightDecaySchedule", levels={"5st": 0.1, "50%": 0.0})),
        0,
    ),
    "steps and a share in a window": (
        epochs(8, blur("5st", "50%")),
        epochs(16, blur("5st", "50%")),
        0,
    ),
    "the same steps": (
        epochs(8, callback("OptimizerReset", at=["10st"]), blur("0ep", "4ep")),
        epochs(8, callback("OptimizerReset", at=["10st"]), blur("0ep", "6ep")),
        4,
    ),
    "a rewind from where its state is taken": (
        epochs(8),
        epochs(8, callback("Rewind", at=["6ep"], to="2ep")),
        2,
    ),
    "another seed": (epochs(8), {**epochs(8), "seed_everything": 1}, -1),
    "another rate": (
        epochs(8),
        {
            **epochs(8),
            "model": {
                "init_args": {
                    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.2}}
                }
            },
        },
        -1,
    ),
    "a progress bar": (
        epochs(8),
        {"trainer": {"max_epochs": 8, "enable_progress_bar": True, "default_root_dir": "x"}},
        8,
    ),
    "accumulation": (epochs(8), {"trainer": {"max_epochs": 8, "accumulate_grad_batches": 2}}, -1),
    "an empty list of callbacks and a shot": (
        {"trainer": {"max_epochs": 8, "callbacks": []}},
        {
            "trainer": {
                "max_epochs": 8,
                "callbacks": callback("OptimizerReset", at=["3ep"])["trainer"]["callbacks+"],
            }
        },
        3,
    ),
    "an empty list of deficits and one": (
        {**epochs(8), "data": {"init_args": {"deficits": []}}},
        epochs(8, blur("3ep", "4ep")),
        3,
    ),
    "a diagnostic at shares of other lengths": (
        epochs(4, callback("NormBiases", every="25%")),
        epochs(8, callback("NormBiases", every="25%")),
        0,
    ),
    "a diagnostic before data that arrive": (
        epochs(8, growing(step=50, at=["3ep"]), callback("NormBiases", every="stages")),
        epochs(8, growing(step=50, at=["5ep"]), callback("NormBiases", every="stages")),
        2,
    ),
    "strengths that matter at all times": (
        epochs(8, blur_levels({"0ep": 4, "3ep": None}, also_evaluate_with_deficit=True)),
        epochs(8, blur_levels({"0ep": 4, "5ep": None}, also_evaluate_with_deficit=True)),
        3,
    ),
    "an object whose text hides its arguments": (
        epochs(8, callback("tests.studies.own.Lossy", loss=smoothed(0.1))),
        epochs(8, callback("tests.studies.own.Lossy", loss=smoothed(0.9))),
        4,
    ),
    "other deficits measured too": (
        epochs(8, blur("0ep", "4ep", also_evaluate_with_deficit=True)),
        epochs(8, blur("0ep", "6ep", also_evaluate_with_deficit=True)),
        4,
    ),
}


@pytest.mark.parametrize("case", SHARED)
def test_runs_share_what_they_have_in_common(case: str) -> None:
    first, second, count = SHARED[case]
    assert common(first, second) == common(second, first) == count


@pytest.mark.parametrize(
    "node",
    [
        callback("tests.studies.own.Louder", factor=2.0),
        callback("tests.studies.own.Loud", factor=3.0),
    ],
)
def test_classes_that_say_the_same_may_mean_another(node: dict[str, Any]) -> None:
    loud = epochs(8, callback("tests.studies.own.Loud", factor=2.0))
    assert common(loud, epochs(8, node)) == 4, "in the second half they say that they are on"
    assert common(loud, epochs(8)) == 4
    assert common(loud, loud | {"trainer": {**loud["trainer"], "default_root_dir": "x"}}) == 8


def test_the_order_of_timed_and_untimed_callbacks_counts() -> None:
    shot = callback("ShrinkPerturb", at=["6ep"], shrink=0.5)
    monitor = callback("pytorch_lightning.callbacks.LearningRateMonitor")
    assert common(epochs(8, shot, monitor), epochs(8, monitor, shot)) == 6
    assert common(epochs(8, shot, monitor), epochs(8, monitor)) == 6


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"devices": 2}, "0,seed=0: trainer.devices: 2: a run of a study has one device"),
        ({"num_nodes": 2}, "trainer.num_nodes: 2: a run of a study has one device"),
    ],
)
def test_what_a_study_cannot_do_is_refused(trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        paths({"trainer": trainer})


def test_one_device_is_one_device() -> None:
    assert common(epochs(8), {"trainer": {"max_epochs": 9, "devices": 1}}) == 8


COSINE = {
    "model": {
        "init_args": {
            "lr_scheduler": {
                "class_path": "tests.studies.untrusted.HiddenCosine",
                "init_args": {"share": 1.0},
            }
        }
    }
}
ALONE: dict[str, dict[str, Any]] = {
    "a callback of ones own": callback("tests.probes.StepLog"),
    "one that inherits the promise": callback("tests.studies.untrusted.Inheriting", at=["2ep"]),
    "a callback that may stop": callback(
        "pytorch_lightning.callbacks.EarlyStopping", monitor="val/loss"
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_what_makes_no_promise_shares_with_its_twin_alone(case: str) -> None:
    arm = ALONE[case]
    assert common(epochs(12, arm), epochs(24, arm)) == -1
    assert (
        common(
            epochs(12, arm),
            {
                **epochs(12, arm),
                "trainer": {**epochs(12, arm)["trainer"], "enable_model_summary": True},
            },
        )
        == 12
    )
    (path,) = paths(epochs(12, arm))
    assert path.not_shareable_because.split(": ")[1].startswith(("may depend on", "has on_train"))


PLAIN: dict[str, dict[str, Any]] = {
    "a network": {"model": {"init_args": {"network": {"class_path": "tests.networks.TokenNet"}}}},
    "a schedule": COSINE,
    "a data set": {
        "data": {"init_args": {"dataset": {"class_path": "tests.regressions.MeanGrey"}}}
    },
    "an intervention without hooks": callback("tests.probes.Momentum", levels={"20ep": 0.5}),
}


@pytest.mark.parametrize("case", PLAIN)
def test_a_plain_class_of_ones_own_has_nothing_to_declare(case: str) -> None:
    arm = PLAIN[case]
    assert common(epochs(12, arm), epochs(24, arm)) == 12


@pytest.mark.parametrize("key", [{"max_steps": 7}, {"min_epochs": 3}, {"max_time": "00:01:00:00"}])
def test_runs_that_end_otherwise_share_nothing(key: dict[str, Any]) -> None:
    (path,) = paths({"trainer": {"max_epochs": 8, **key}})
    assert "is not a matter of epochs" in path.not_shareable_because


def test_everything_registered_makes_the_promise() -> None:
    # That of averages, which Hare & Tortoise needs, is Lightning's to make.
    ours = [entry.acting for name, entry in REGISTRY.items() if name != "HareTortoise"]
    assert not any(path.not_shareable_because for path in paths(*ours))


def test_torchs_and_our_classes_promise() -> None:
    assert not why_not_shareable("torch.optim.Adam")
    assert not why_not_shareable("lightning_modules.networks.ResNet")
    assert why_not_shareable("pytorch_lightning.callbacks.EMAWeightAveraging")
    assert TINY["model"]["init_args"]["network"]["class_path"] == "tests.networks.SmallNet"
    assert not why_not_shareable("tests.networks.SmallNet"), "as every network"


def test_levels_keep_their_order() -> None:
    late = epochs(20, callback("WeightDecaySchedule", levels={"5ep": 0.1, "15ep": 0.0}))
    assert common(late, epochs(20)) == 5


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (
            epochs(2, callback("NormBiases", every="1ep")),
            epochs(3, callback("NormBiases", every="1ep")),
            2,
        ),
        (
            epochs(2, callback("NormBiases", every="3ep")),
            epochs(3, callback("NormBiases", every="3ep")),
            1,
        ),
        (
            epochs(2, callback("NormBiases", every="5st")),
            epochs(3, callback("NormBiases", every="5st")),
            1,
        ),
        (
            epochs(3, callback("NormBiases", every="1ep")),
            epochs(3, callback("NormBiases", every="2ep")),
            0,
        ),
        (epochs(3, callback("NormBiases", every="1ep")), epochs(3), 0),
    ],
)
def test_a_diagnostic_measures_at_the_end_of_a_run_too(
    first: dict[str, Any], second: dict[str, Any], shared: int
) -> None:
    assert common(first, second) == shared
