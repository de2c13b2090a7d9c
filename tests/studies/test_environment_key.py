"""What decides a run's numbers besides its config and its code."""

import json
import platform
from pathlib import Path

import pytest

from plasticity_lab.studies import environment_key
from plasticity_lab.studies.commands import run
from plasticity_lab.studies.open_study import open_study
from tests.studies.small import ARMS, small


def test_threads_versions_device_and_data_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = small({"plain": ARMS["plain"]}, seeds=1).opened.arms
    plain = environment_key.environment_key(config, 1)
    assert plain == environment_key.environment_key(config, 1)
    assert plain != environment_key.environment_key(config, 2)
    digits = config["data"]["init_args"]["dataset"]
    init_args = {
        **config["data"]["init_args"],
        "dataset": {**digits, "init_args": {**digits["init_args"], "validation": 0.5}},
    }
    assert environment_key.data_key(
        {**config, "data": {"init_args": init_args}}
    ) == environment_key.data_key(config), "the images are the same, the config differs"
    for name in ("device", "data_key"):
        with monkeypatch.context() as patch:
            patch.setattr(environment_key, name, lambda *_: "another")
            assert environment_key.environment_key(config, 1) != plain, name
    with monkeypatch.context() as patch:
        patch.setattr(platform, "python_version_tuple", lambda: ("3", "99", "0"))
        assert environment_key.environment_key(config, 1) != plain
    with monkeypatch.context() as patch:
        patch.setattr(environment_key, "version", lambda name: "0")
        assert environment_key.environment_key(config, 1) != plain


def test_data_of_ones_own_are_planned() -> None:
    data = {"data": {"class_path": "pytorch_lightning.demos.boring_classes.BoringDataModule"}}
    Path("own.yaml").write_text(json.dumps(data))
    (path,) = small({"own": {"config": "own.yaml"}}, seeds=1).paths
    assert "BoringDataModule" in path.not_shareable_because


def test_files_on_top_of_the_last_run_are_remembered() -> None:
    file = Path("short.yaml")
    file.write_text("trainer: {max_epochs: 2}")
    small({"plain": ARMS["plain"]}, seeds=1)
    work = open_study(Path("small.yaml"), Path("runs").absolute(), config=[file])
    run(work, 1, lambda *_: None)
    assert len(work.paths[0].states) == 3
    assert small({"plain": ARMS["plain"]}, seeds=1, trust_code=True).paths == work.paths
    assert small({"plain": ARMS["plain"]}, seeds=1).paths != work.paths
