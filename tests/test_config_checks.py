"""Settings as the user wrote them: one line for what would be lost, overruled, or is no number."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from pytorch_lightning import LightningModule, Trainer

from callbacks.interventions.base import Draws, OneShot
from plasticity_lab.errors import UserError
from plasticity_lab.runs.config_checks import (
    check_given,
    check_links,
    check_numbers,
    given_settings,
)
from plasticity_lab.runs.type_hints import check_hints, check_nulls
from tests.runs import TINY, fit, tiny
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"model": {"init_args": {"optimizer": {"init_args": {"lr": math.nan}}}}},
            "model.optimizer.lr: .nan: is not a finite",
        ),
        (
            {"trainer": {"gradient_clip_val": math.inf}},
            "trainer.gradient_clip_val: .inf: is not a finite number; set one",
        ),
        (
            {"data": {"dataset": {"validation": -math.inf}}},
            "data.dataset.validation: -.inf: is not",
        ),
        (
            {"trainer": {"max_epochs": 10**30}},
            "trainer.max_epochs: 10+: is larger than any setting can be",
        ),
        (
            {
                "trainer": {
                    "callbacks": [{"class_path": "a.B", "init_args": {"levels": {"1ep": -1e30}}}]
                }
            },
            r"trainer.callbacks.B.levels.1ep: -1e\+30: is",
        ),
        ({"betas": (0.9, math.nan)}, "betas.1: .nan: is not"),
    ],
)
def test_numbers_that_no_setting_can_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_numbers(settings)


def test_numbers_that_settings_are() -> None:
    check_numbers(
        {
            "lr": 1e-9,
            "seed": 2**32 - 1,
            "steps": -1,
            "on": True,
            "name": ".nan",
            "levels": {"0ep": 0.0},
            "none": None,
        }
    )


def test_a_rate_that_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    rate = {"model": {"init_args": {"optimizer": {"init_args": {"lr": math.nan}}}}}
    refused(
        ["fit", *tiny(rate)], "model.optimizer.lr: .nan: is not a finite number; set one", capsys
    )
    level = {"class_path": "callbacks.WeightDecaySchedule", "init_args": {"levels": {"1ep": 1e30}}}
    refused(
        ["fit", *tiny({"trainer": {"callbacks+": [level]}})],
        r"trainer.callbacks.WeightDecaySchedule.levels.1ep: 1e\+30: is",
        capsys,
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"trainer: {max_epochs: 1}\nmodel: {}\ntrainer: {max_steps: 9}\n",
            "bad.yaml: line 3: trainer: is written twice",
        ),
        (
            b"trainer:\n  callbacks+: []\n  callbacks+: []\n",
            r"bad.yaml: line 3: callbacks\+: is written twice",
        ),
        ("trainer: {max_epochs: 1} # é".encode("latin-1"), "bad.yaml: is not UTF-8 text"),
        ("trainer: {max_epochs: 1}".encode("utf-16"), "bad.yaml: is not UTF-8 text"),
        (b"- trainer", "config: bad.yaml: holds list .'trainer'.; set keys and values"),
        (
            b"trainer: null",
            r"trainer: null: is not keys and values \(in bad.yaml\); set some below it",
        ),
        (b"trainer: []", r"trainer: \[\]: is not keys and values"),
        (b"data: {init_args: null}", "data.init_args: null: set keys and values below it"),
        (b"data: 3", "data: 3: is not keys and values"),
    ],
)
def test_files_that_say_something_else_than_meant(content: bytes, message: str) -> None:
    Path("bad.yaml").write_bytes(content)
    with pytest.raises(UserError, match=f"^{message}"):
        check_given(given_settings(["fit", *tiny(), "--config", "bad.yaml"]))


def test_a_file_with_a_key_twice(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text("trainer:\n  callbacks+: []\n  callbacks+: []\n")
    message = r"bad.yaml: line 3: callbacks\+: is written twice, first in line 2; keep one"
    refused(["fit", *tiny(), "--config", "bad.yaml"], message, capsys)
    refused(["fit", *tiny(), "--config=bad.yaml"], message, capsys)


def test_a_key_repeated_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    twice = [
        "--data.init_args.dataset",
        "{class_path: datamodules.Digits, init_args: {subset: 50, subset: 60}}",
    ]
    refused(
        ["fit", *tiny(), *twice],
        "--data.init_args.dataset: line 1: subset: is written twice",
        capsys,
    )


def test_a_fragment_without_the_config_it_belongs_on(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder.yaml").write_text(
        "data: {init_args: {dataset: {class_path: datamodules.FolderImages}}}"
    )
    message = (
        "data: no class_path says what the keys in folder.yaml belong to; put a config that "
        "names one before it"
    )
    refused(["fit", "--config", "folder.yaml"], message, capsys)
    refused(["fit", "--config", "folder.yaml", *tiny()], message, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--model.init_args.seed", "5"],
            (
                r"model.seed: 5 \(in --model.init_args.seed\): comes from seed_everything, where "
                "it is 0"
            ),
        ),
        (["--data.init_args.seed=5"], "data.seed: 5 .*: comes from seed_everything"),
        (
            ["--model.init_args.network.init_args.num_classes", "7"],
            "model.network.num_classes: 7 .*: comes from the data, where it is 10",
        ),
        (
            [
                "--model.init_args.network",
                json.dumps(
                    {"class_path": "tests.networks.SmallNet", "init_args": {"in_channels": 3}}
                ),
            ],
            "model.network.in_channels: 3 .*: comes from the data, where it is 1; remove it",
        ),
    ],
)
def test_what_comes_from_data_and_seed_cannot_be_written_otherwise(
    arguments: list[str], message: str
) -> None:
    sources = {"seed_everything": 0, "num_outputs": 10, "in_channels": 1, "image_size": None}
    with pytest.raises(UserError, match=f"^{message}"):
        check_links(given_settings(["fit", *tiny(), *arguments]), sources)


def test_classes_and_seed_written_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    fragment = {"model": {"init_args": {"network": {"init_args": {"num_classes": 7}}}}}
    refused(
        ["fit", *tiny(fragment)],
        r"model.network.num_classes: 7 \(in tiny1.yaml\): comes from the data, where it is 10",
        capsys,
    )
    seed = ["--data.init_args.seed", "1"]
    refused(
        ["fit", *tiny(), *seed],
        r"data.seed: 1 \(in --data.init_args.seed\): comes from seed_everything",
        capsys,
    )


def test_what_comes_from_data_and_seed_may_be_written_alike() -> None:
    fragment = {"model": {"init_args": {"seed": 3, "network": {"init_args": {"num_classes": 10}}}}}
    fit(*tiny(fragment), "--seed_everything", "3", "--trainer.fast_dev_run", "true")


@pytest.mark.parametrize(("limit", "batches"), [(1, 1), (1.0, 4), (2, 2), (0.5, 2)])
def test_a_whole_limit_is_a_number_of_batches(limit: float, batches: int) -> None:
    finished = fit(
        *tiny({"trainer": {"limit_train_batches": limit, "limit_val_batches": limit}}),
        "--trainer.max_epochs",
        "1",
    )
    assert finished.trainer.global_step == batches
    assert finished.config.resolved()["trainer"]["limit_train_batches"] == limit
    assert finished.trainer.limit_val_batches == limit
    assert type(finished.trainer.limit_val_batches) is type(limit)


class Untyped(OneShot):
    """Somebody's own intervention."""

    def __init__(self, at, until=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        super().__init__(at)
        self.until = until

    def apply(self, trainer: Trainer, module: LightningModule, draws: Draws) -> None: ...


def test_an_own_class_without_type_hints(capsys: pytest.CaptureFixture[str]) -> None:
    node = {"class_path": "tests.test_config_checks.Untyped", "init_args": {"at": ["1ep"]}}
    message = (
        r"Untyped: argument at has no type hint, so that \['1ep'\] stays plain text; set `at: "
        r"list\[Time\] \| None` in its __init__"
    )
    refused(["fit", *tiny({"trainer": {"callbacks+": [node]}})], message, capsys)
    with pytest.raises(
        UserError, match=r"Untyped: argument until has no type hint, .*; set `until: Time`"
    ):
        check_hints({"class_path": node["class_path"], "init_args": {"until": "3ep"}})
    check_hints({"class_path": node["class_path"], "init_args": {"until": 3}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"class_path": "datamodules.Digits", "init_args": {"validation": None}},
            "Digits: validation: null: is no .*; set one",
        ),
        (
            {"class_path": "datamodules.ImageDataModule", "init_args": {"batch_size": None}},
            ".*: batch_size: null: is no int",
        ),
        (
            {"class_path": "torch.optim.SGD", "init_args": {"weight_decay": None}},
            "SGD: weight_decay: null: is no",
        ),
    ],
)
def test_nulls_that_arguments_do_not_take(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        check_nulls(settings)
    check_nulls({"class_path": "datamodules.Digits", "init_args": {"subset": None}})


def test_no_validation(capsys: pytest.CaptureFixture[str]) -> None:
    nothing = {"data": {"init_args": {"dataset": {"init_args": {"validation": None}}}}}
    refused(
        ["fit", *tiny(nothing)],
        "Digits: validation: null: is no .*; set one, or remove it",
        capsys,
    )


def test_many_config_files_make_a_name_that_a_folder_can_have() -> None:
    files = [f"a_config_file_with_a_telling_name_{number}.yaml" for number in range(12)]
    for file in files:
        Path(file).write_text(yaml.safe_dump(TINY))
    configs = [part for file in files for part in ("--config", file)]
    first = fit(*configs, "--trainer.max_epochs", "1")
    again = fit(*configs, "--trainer.max_epochs", "1", "--ckpt_path", "last")
    assert again.place.directory == first.place.directory
    shorter = fit(*configs[:-2], "--trainer.max_epochs", "1")
    assert shorter.place.directory.parent != first.place.directory.parent
