"""Several ranks (gloo on the CPU) from the same YAML."""

from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import Digits
from plasticity_lab.studies.state_hash import state_hash
from tests.callbacks.diagnostics.test_contract import EVERYTHING
from tests.callbacks.interventions.arms import ALL, ALL_DRIFT, REMEDIES, intervention
from tests.processes import run_directory, run_ranks
from tests.registry import REGISTRY, VARIANTS
from tests.runs import logged, tiny

AUGMENTED = REGISTRY["CropFlip"].acting
WAITING = REGISTRY["ClassGrowth"].acting
PLAIN: dict[str, Any] = {
    "model": {
        "init_args": {
            "network": {
                "class_path": "tests.networks.SmallNet",
                "init_args": {"norm": False, "dropout": 0.0},
            }
        }
    }
}
"""Nothing in it depends on which examples share a batch, or on a random stream."""

OVER_TIME: dict[str, Any] = {
    "data": {
        "init_args": {
            "growth": {
                "class_path": "datamodules.UniformGrowth",
                "init_args": {"fractions": [0.5, 1.0], "at": ["1ep"]},
            },
            "deficits": [
                {
                    "class_path": "datamodules.Blur",
                    "init_args": {"size": 4, "during": ["1st", "2ep"]},
                },
                {
                    "class_path": "datamodules.LabelPermutation",
                    "init_args": {"during": ["0ep", "2ep"]},
                },
                {
                    "class_path": "datamodules.LabelNoise",
                    "init_args": {"fraction": 0.3, "during": ["2ep", "100%"]},
                },
            ],
        }
    }
}


def ranks(
    count: int, *fragments: dict[str, Any], arguments: tuple[str, ...] = ()
) -> tuple[list[Any], Path]:
    """Train on some ranks; return what each recorded, and the run's directory."""
    record = {"trainer": {"callbacks+": [{"class_path": "tests.probes.RankRecord"}]}}
    devices = (
        "--trainer.devices",
        str(count),
        *(("--trainer.strategy", "ddp") if count > 1 else ()),
    )
    output = run_ranks(count, "fit", *tiny(*fragments, record), *devices, *arguments)
    return [
        torch.load(f"rank{rank}.pt", weights_only=True) for rank in range(count)
    ], run_directory(output)


def close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.allclose(first[name], second[name], rtol=1e-4, atol=1e-6) for name in first)


@pytest.mark.slow
def test_two_ranks_with_half_the_batch_are_one_process_with_the_whole() -> None:
    """Also while data grow, images are blurred and labels permuted, and when that ends."""
    (single,), single_home = ranks(1, PLAIN, OVER_TIME)
    two, together = ranks(2, PLAIN, OVER_TIME, arguments=("--data.init_args.batch_size", "16"))
    assert two[0]["state"] == two[1]["state"], "ranks end bitwise equal"
    assert close(single["weights"], two[0]["weights"])
    for step, indices in enumerate(single["indices"]):
        first, second = two[0]["indices"][step], two[1]["indices"][step]
        assert sorted(first + second) == sorted(indices), "the same examples, none twice"
        assert [len(first), len(second)] == [len(indices) // 2] * 2
        label_of = dict(zip(indices, single["labels"][step], strict=True))
        for record in two:
            assert record["labels"][step] == [
                label_of[index] for index in record["indices"][step]
            ], "the same labels"
    labels = Digits(subset=100).splits(0).train.targets
    permuted = {
        (int(labels[index]), label)
        for index, label in zip(two[1]["indices"][0], two[1]["labels"][0], strict=True)
    }
    assert permuted <= set(enumerate([2, 8, 7, 1, 9, 4, 3, 0, 5, 6]))
    assert [len(indices) for indices in single["indices"]] == [32, 18, *([32, 32, 32, 4] * 2)]
    values, expected = logged(together), logged(single_home)
    assert values.keys() == expected.keys()
    for tag in values:
        assert dict(values[tag]) == pytest.approx(dict(expected[tag]), rel=1e-4), tag


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DirectFeedbackAlignment", "FeedbackAlignment"])
def test_two_ranks_have_the_feedback_of_one(name: str) -> None:
    (single,), _ = ranks(1, PLAIN, VARIANTS[name])
    half = ("--data.init_args.batch_size", "16")
    two, _ = ranks(2, PLAIN, VARIANTS[name], arguments=half)
    assert two[0]["state"] == two[1]["state"], "ranks end bitwise equal"
    assert close(single["weights"], two[0]["weights"])


@pytest.mark.slow
def test_two_ranks_see_the_stream_of_one() -> None:
    """Other classes by other names, with permuted pixels, in training and validation."""
    binary = REGISTRY["binary tasks"].acting["data"]["init_args"]
    permuted = [{"class_path": "datamodules.PixelPermutation"}]
    stream = {"data": {"init_args": {**binary, "stage_transforms": permuted}}}
    (single,), single_home = ranks(1, PLAIN, stream)
    two, together = ranks(2, PLAIN, stream, arguments=("--data.init_args.batch_size", "16"))
    assert two[0]["state"] == two[1]["state"], "ranks end bitwise equal"
    assert close(single["weights"], two[0]["weights"])
    for step, indices in enumerate(single["indices"]):
        label_of = dict(zip(indices, single["labels"][step], strict=True))
        for record in two:
            assert record["labels"][step] == [label_of[one] for one in record["indices"][step]]
    values, expected = logged(together), logged(single_home)
    for tag in ("val/loss", "val/accuracy", "test/accuracy", "train/loss"):
        assert dict(values[tag]) == pytest.approx(dict(expected[tag]), rel=1e-4), tag


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.long)])
def test_ranks_with_drifted_streams_augmentation_and_batch_norm_end_equal(count: int) -> None:
    records, _ = ranks(count, AUGMENTED, arguments=("--data.init_args.batch_size", "9"))
    assert len({record["state"] for record in records}) == 1
    epoch = [
        index
        for record in records
        for batch in record["indices"][: 100 // (9 * count) + 1]
        for index in batch
    ]
    assert len(epoch) == len(set(epoch)) == 100


@pytest.mark.slow
@pytest.mark.parametrize("fragment", [ALL, ALL_DRIFT, {"trainer": {"callbacks+": REMEDIES}}])
def test_interventions_draw_alike_on_ranks_whose_streams_have_drifted(
    fragment: dict[str, Any],
) -> None:
    two, _ = ranks(2, fragment, arguments=("--data.init_args.batch_size", "16"))
    assert two[0]["state"] == two[1]["state"]


@pytest.mark.slow
def test_two_ranks_reset_the_units_that_one_process_does() -> None:
    """What is measured of a step is of the whole batch."""
    nodes = [
        intervention("ContinualBackprop", levels={"1st": 0.2}, maturity=2, utility="contribution"),
        intervention("ReDo", at=["9st"], tau=0.9, examples=20),
        intervention("SelfNormalizedReset", levels={"1st": 0.1}, longest=4),
    ]
    recycling = {"trainer": {"callbacks+": nodes}}
    (single,), single_home = ranks(1, PLAIN, recycling)
    two, together = ranks(2, PLAIN, recycling, arguments=("--data.init_args.batch_size", "16"))
    assert two[0]["state"] == two[1]["state"], "ranks end bitwise equal"
    assert close(single["weights"], two[0]["weights"])
    values, expected = logged(together), logged(single_home)
    for name in ("ContinualBackprop", "ReDo", "SelfNormalizedReset"):
        assert values[f"interventions/{name}/units"] == expected[f"interventions/{name}/units"]
    assert any(count for _, count in values["interventions/ContinualBackprop/units"])


@pytest.mark.slow
def test_diagnostics_are_invisible_to_two_ranks_and_measure_what_one_process_does() -> None:
    half = ("--data.init_args.batch_size", "16")
    without, plain = ranks(2, arguments=half)
    two, together = ranks(2, EVERYTHING, arguments=half)
    _, single_home = ranks(1, EVERYTHING)
    assert [record["state"] for record in two] == [record["state"] for record in without]
    actual, expected = logged(together), logged(single_home)
    assert {
        tag: values for tag, values in actual.items() if not tag.startswith("diagnostics/")
    } == logged(plain)
    first = {
        tag
        for tag, values in expected.items()
        if tag.startswith("diagnostics/") and values[0][0] == 0
    }
    assert len(first) > 50
    assert {tag: actual[tag][0] for tag in first} == {tag: expected[tag][0] for tag in first}
    assert actual.keys() == expected.keys()


@pytest.mark.slow
def test_ranks_end_together_with_the_last_stage() -> None:
    ends = REGISTRY["stages that end the run"].acting
    two, home = ranks(
        2, ends, {"trainer": {"max_epochs": 9}}, arguments=("--data.init_args.batch_size", "16")
    )
    assert two[0]["state"] == two[1]["state"]
    assert [len(record["indices"]) for record in two] == [2 + 4] * 2, (
        "an epoch of 50 examples and one of 100"
    )
    assert len(logged(home)["train/accuracy"]) == 2


@pytest.mark.slow
def test_ranks_that_have_parted_are_noticed() -> None:
    part = {"trainer": {"callbacks+": [{"class_path": "tests.probes.Part"}]}}
    devices = (
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
        "--data.init_args.batch_size",
        "16",
    )
    output = run_ranks(2, "fit", *tiny(part, ALL), *devices, fails=True)
    assert "LayerReset: the ranks hold different networks after it" in output


@pytest.mark.slow
def test_two_ranks_resume_bitwise_from_inside_an_epoch_and_from_its_end() -> None:
    steps = {
        "trainer": {
            "callbacks+": [
                {
                    "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                    "init_args": {
                        "filename": "step{step}",
                        "every_n_train_steps": 3,
                        "save_top_k": -1,
                    },
                }
            ]
        }
    }
    uninterrupted, home = ranks(
        2, AUGMENTED, WAITING, steps, arguments=("--data.init_args.batch_size", "16")
    )
    values, files = logged(home), sorted((home / "checkpoints").glob("step*.ckpt"))
    assert len(files) >= 3
    assert state_hash(uninterrupted[0]["weights"]) == uninterrupted[0]["state"]
    for file in files[:3]:
        arguments = (
            "--data.init_args.batch_size",
            "16",
            "--ckpt_path",
            str(file),
            "--run_dir",
            str(home),
        )
        resumed, _ = ranks(2, AUGMENTED, WAITING, steps, arguments=arguments)
        assert [record["state"] for record in resumed] == [
            record["state"] for record in uninterrupted
        ], file.name
        assert logged(home) == values, file.name
