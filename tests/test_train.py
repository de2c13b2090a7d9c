"""The command line: runs, where they are kept, how they resume, and what is made of them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from filelock import FileLock

from plasticity_lab.runs.command_line import find_configs
from plasticity_lab.runs.main import main
from plasticity_lab.runs.run_directory import RunLocation
from tests.processes import run
from tests.registry import REGISTRY
from tests.runs import REPOSITORY, fit, logged, state, tiny


def checkpoints(directory: Path) -> list[str]:
    return sorted(file.name for file in (directory / "checkpoints").iterdir())


def test_a_run_leaves_config_manifest_events_and_checkpoints() -> None:
    directory = fit(*tiny()).place.directory
    assert checkpoints(directory) == ["epoch=0002.ckpt", "last.ckpt"]
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["seed"] == 0
    assert set(manifest["data"]) == {"train", "validation", "test"}
    (session,) = manifest["sessions"]
    assert session["command"] == ["train.py"]
    assert torch.__version__.startswith(session["versions"]["torch"])
    assert re.fullmatch("[0-9a-f]{40}", session["git"]["commit"])
    assert session["resumed_from"] is None
    assert session["wall_seconds"] > 0
    values = logged(directory)
    assert set(values) == {
        f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy")
    }
    assert [step for step, _ in values["train/loss"]] == [3, 7, 11]


@pytest.mark.slow
def test_the_main_job_runs_as_a_new_user_runs_it() -> None:
    """With as many threads as torch likes: every other test has one."""
    output = run(
        "fit", "--config", "configs/digits.yaml", "--trainer.max_epochs", "2", OMP_NUM_THREADS="2"
    )
    assert re.search(
        r"train accuracy \d\d.\d\d%   test accuracy \d+.\d\d%\nrun directory: .*/runs/digits/",
        output,
    )


def test_what_is_logged_is_what_an_independent_pass_measures() -> None:
    finished = fit(*tiny())
    loader, network = finished.data.test_dataloader(), finished.model.eval()
    right, loss = 0, 0.0
    for batch in loader:
        images, labels, _ = finished.data.on_after_batch_transfer(batch, 0)
        logits = network(images)
        right += int((logits.argmax(1) == labels).sum())
        loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum").detach())
    values = logged(finished.place.directory)
    for split in ("val", "test"):
        assert values[f"{split}/accuracy"][-1][1] == pytest.approx(right / 500)
        assert values[f"{split}/loss"][-1][1] == pytest.approx(loss / 500, rel=1e-5)


def test_the_saved_config_makes_the_same_run_again_in_a_new_place() -> None:
    timed = (
        REGISTRY["ClassGrowth"].acting,
        REGISTRY["LabelNoise"].acting,
        REGISTRY["CropFlip"].acting,
    )
    first = fit(*tiny(*timed), "--seed_everything", "4", "--data.init_args.batch_size", "30")
    config = first.place.directory / "config.yaml"
    assert set(yaml.safe_load(config.read_text())) == {
        "seed_everything",
        "trainer",
        "model",
        "data",
    }
    again = fit("--config", str(config))
    assert again.place.directory != first.place.directory
    assert again.place.directory.parent == first.place.directory.parent, "of the same kind"
    assert state(again) == state(first)
    assert (again.place.directory / "config.yaml").read_text() == config.read_text()


def test_a_run_may_be_as_long_as_a_number_of_steps() -> None:
    assert (
        fit(*tiny(), "--trainer.max_epochs", "-1", "--trainer.max_steps", "9").trainer.global_step
        == 9
    )


def test_seeds_differ() -> None:
    assert (
        state(fit(*tiny()))["weights and buffers"]
        != state(fit(*tiny(), "--seed_everything", "1"))["weights and buffers"]
    )


def test_two_runs_started_in_one_second_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20260101-000000")
    assert len({fit(*tiny(), "--trainer.max_epochs", "1").place.directory for _ in range(3)}) == 3


def test_last_begins_a_run_goes_on_with_it_and_ends() -> None:
    """One command line for all of it, as a preemptible job needs."""
    command = [*tiny(), "--ckpt_path", "last"]
    uninterrupted = fit(*command)
    home, copy_of_home = uninterrupted.place.directory, Path("kept")
    shutil.copytree(home, copy_of_home)
    (home / "checkpoints" / "last.ckpt").unlink()
    (home / "checkpoints" / "epoch=0002.ckpt").unlink()
    again = fit(*command)
    assert again.place == RunLocation(home, None, 0), (
        "no checkpoint: from the beginning, in the same place"
    )
    assert state(again) == state(uninterrupted)
    assert logged(home) == logged(copy_of_home)
    finished = fit(*command)
    assert finished.place.checkpoint is not None
    assert state(finished)["weights and buffers"] == state(uninterrupted)["weights and buffers"]
    assert logged(home) == logged(copy_of_home)
    sessions = json.loads((home / "manifest.json").read_text())["sessions"]
    assert [bool(session["resumed_from"]) for session in sessions] == [False, False, True]
    assert all(session["wall_seconds"] is not None for session in sessions)


def test_last_knows_runs_by_their_config() -> None:
    first = fit(*tiny())
    second = fit(*tiny(), "--seed_everything", "1", "--ckpt_path", "last")
    assert second.place.directory != first.place.directory
    assert second.place.checkpoint is None


def test_a_truncated_checkpoint_is_named_and_the_one_before_it_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    finished = fit(*tiny())
    last = finished.place.directory / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:5000])
    with pytest.raises(SystemExit) as stop:
        fit(*tiny(), "--ckpt_path", str(last))
    assert stop.value.code == 2
    assert re.search(
        (
            "error: ckpt_path: .*last.ckpt: truncated or not a checkpoint .*; name another, or "
            "set 'last'"
        ),
        capsys.readouterr().err,
    )
    resumed = fit(*tiny(), "--ckpt_path", "last")
    assert resumed.place.checkpoint == last.with_name("epoch=0002.ckpt")
    assert "last.ckpt: truncated" in capsys.readouterr().out


def test_the_command_line_beats_the_checkpoint_and_makes_a_branch() -> None:
    parent = fit(*tiny(), "--trainer.max_epochs", "1")
    checkpoint = parent.place.directory / "checkpoints" / "last.ckpt"
    assert "hyper_parameters" not in torch.load(checkpoint, weights_only=True)
    branch = fit(
        *tiny(),
        "--model.init_args.label_smoothing",
        "0.3",
        "--trainer.max_epochs",
        "2",
        "--ckpt_path",
        str(checkpoint),
    )
    assert branch.place.directory != parent.place.directory
    assert branch.model.objective.label_smoothing == 0.3
    assert branch.trainer.global_step == 8
    assert [step for step, _ in logged(branch.place.directory)["train/loss"]] == [7]
    assert [step for step, _ in logged(parent.place.directory)["train/loss"]] == [3], (
        "the parent is as it was"
    )


def test_a_branch_takes_rate_and_schedule_from_its_own_config() -> None:
    """As if the parent had been trained with them, but with its own weights and momentum."""
    parent = fit(*tiny(), "--trainer.max_epochs", "2")
    change = [
        "--model.init_args.optimizer.init_args.lr",
        "0.5",
        "--model.init_args.optimizer.init_args.momentum",
        "0.1",
    ]
    change += [
        "--model.init_args.lr_scheduler.init_args.gamma",
        "0.3",
        "--ckpt_path",
        str(parent.place.directory / "checkpoints/last.ckpt"),
    ]
    branch = fit(*tiny(), *change)
    (group,) = branch.trainer.optimizers[0].param_groups
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (
        pytest.approx(0.5 * 0.3**3),
        0.1,
        1e-3,
    )


def test_a_branch_may_begin_or_end_a_schedule() -> None:
    parent = fit(
        *tiny({"model": {"init_args": {"lr_scheduler": None}}}), "--trainer.max_epochs", "2"
    )
    checkpoint = str(parent.place.directory / "checkpoints/last.ckpt")
    scheduled = fit(*tiny(), "--ckpt_path", checkpoint)
    assert scheduled.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8**3)
    unscheduled = fit(
        *tiny({"model": {"init_args": {"lr_scheduler": None}}}),
        "--trainer.max_epochs",
        "4",
        "--ckpt_path",
        checkpoint,
    )
    assert unscheduled.trainer.optimizers[0].param_groups[0]["lr"] == 0.1


def test_a_branch_with_the_same_settings_is_bitwise_the_run_itself() -> None:
    uninterrupted = fit(*tiny(), "--trainer.max_epochs", "2")
    copy = Path("elsewhere.ckpt")
    first = fit(*tiny(), "--trainer.max_epochs", "1")
    shutil.copy(first.place.directory / "checkpoints" / "last.ckpt", copy)
    branch = fit(*tiny(), "--trainer.max_epochs", "2", "--ckpt_path", str(copy))
    assert branch.place.resumed_at is None
    assert state(branch) == state(uninterrupted)


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [*tiny(), "--run_dir", "mine", "--ckpt_path", "last"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("pytorch_lightning.callbacks.ModelCheckpoint.on_train_epoch_end", killed)
        with pytest.raises(SystemExit):
            fit(*command)
    assert Path("mine/config.yaml").exists()
    assert state(fit(*command)) == state(fit(*tiny()))


def test_two_processes_do_not_train_in_one_directory(capsys: pytest.CaptureFixture[str]) -> None:
    fit(*tiny(), "--run_dir", "mine")
    with FileLock("mine/.lock"), pytest.raises(SystemExit) as stop:
        fit(*tiny(), "--run_dir", "mine", "--ckpt_path", "last")
    assert stop.value.code == 2
    assert re.search(
        "error: run_dir: .*mine: another process trains there; wait for it, or name a new",
        capsys.readouterr().err,
    )


def test_a_runs_own_config_and_last_mean_that_run(capsys: pytest.CaptureFixture[str]) -> None:
    fit(*tiny(), "--run_dir", "mine")
    fit(*tiny())
    main(["test", "--config", "mine/config.yaml", "--ckpt_path", "last"])
    main(["predict", "--config", "mine/config.yaml", "--ckpt_path", "last"])
    assert len(list(Path("mine").glob("predictions-*.csv"))) == 1


def test_checkpoints_stay_in_the_run_beside_another_logger() -> None:
    logger = {
        "class_path": "pytorch_lightning.loggers.CSVLogger",
        "init_args": {"save_dir": "elsewhere"},
    }
    directory = fit(*tiny({"trainer": {"logger": logger}})).place.directory
    assert checkpoints(directory) == ["epoch=0002.ckpt", "last.ckpt"]
    assert (directory / "config.yaml").exists()


def test_sanity_checking_logs_nothing() -> None:
    values = logged(fit(*tiny(), "--trainer.num_sanity_val_steps", "2").place.directory)
    assert [step for step, _ in values["val/loss"]] == [3, 7, 11]


def test_test_validate_and_predict_work_on_a_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    trained = fit(*tiny())
    expected = logged(trained.place.directory)["test/accuracy"][0][1]
    for command, split in (("test", "test"), ("validate", "val")):
        capsys.readouterr()
        main(
            [
                command,
                *tiny(),
                "--ckpt_path",
                str(trained.place.directory / "checkpoints" / "last.ckpt"),
            ]
        )
        assert (
            capsys.readouterr()
            .out.splitlines()[-1]
            .startswith(f"{split}/accuracy {expected:.4f}   {split}/loss 2.")
        )
    main(
        ["predict", "--config", str(trained.place.directory / "config.yaml"), "--ckpt_path", "last"]
    )
    (file,) = trained.place.directory.glob("predictions-*.csv")
    assert capsys.readouterr().out.splitlines()[-1] == f"predictions: {file}"
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [int(row["index"]) for row in rows] == list(range(500))
    assert sum(row["label"] == row["predicted"] for row in rows) / 500 == pytest.approx(expected)
    for row in rows:
        probabilities = [float(row[str(digit)]) for digit in range(10)]
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert max(probabilities) == float(row[row["predicted"]])
    assert len(list(trained.place.directory.glob("events*"))) == 2, "measuring writes no events"


def test_without_a_terminal_progress_is_one_line_an_epoch(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(*tiny(), "--trainer.enable_progress_bar", "true")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 3
    pattern = (
        r"epoch 3/3  [\d.]+ s  train/accuracy 0.\d{4}  train/loss \d.\d{4}  val/accuracy 0.\d{4} "
        r" val/loss \d.\d{4}"
    )
    assert re.fullmatch(pattern, lines[2])


def test_the_last_lines_say_how_it_went_and_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    directory = fit(*tiny()).place.directory
    values = logged(directory)
    train_accuracy, test_accuracy = (
        values[f"{split}/accuracy"][-1][1] for split in ("train", "test")
    )
    assert capsys.readouterr().out.splitlines()[-3:] == [
        f"train accuracy {train_accuracy:.2%}   test accuracy {test_accuracy:.2%}",
        f"run directory: {directory}",
        f"look at it:    tensorboard --logdir {directory}",
    ]


@pytest.mark.parametrize("accumulate", ["1", "3"])
def test_a_run_whose_loss_is_not_finite_stops_and_says_where(
    accumulate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    optimizer = {"init_args": {"lr": 1e9, "weight_decay": 1e9}}
    diverging = tiny({"model": {"init_args": {"optimizer": optimizer}}})
    with pytest.raises(SystemExit) as stop:
        fit(*diverging, "--trainer.accumulate_grad_batches", accumulate)
    assert stop.value.code == 1
    assert re.search(
        r"error: the training loss is not finite at step [1-9]: lower the learning rate",
        capsys.readouterr().err,
    )
    if accumulate == "1":
        assert not list(Path("runs").glob("**/*.ckpt")), "nothing poisoned is kept"


def test_an_average_of_the_weights_and_lightnings_own_callbacks_run_beside_ours() -> None:
    extra = [
        {"class_path": f"pytorch_lightning.callbacks.{name}", "init_args": arguments}
        for name, arguments in (
            ("LearningRateMonitor", {}),
            ("EarlyStopping", {"monitor": "val/loss", "patience": 9}),
            ("ModelCheckpoint", {"monitor": "val/accuracy", "mode": "max", "filename": "best"}),
        )
    ]
    directory = fit(*tiny({"trainer": {"callbacks+": extra}})).place.directory
    assert checkpoints(directory) == ["best.ckpt", "epoch=0002.ckpt", "last.ckpt"]
    assert len(logged(directory)["lr-SGD"]) == 3


@pytest.mark.slow
def test_compile_keeps_names_and_trains() -> None:
    assert set(
        fit(
            *tiny({"model": {"init_args": {"compile": True}}}), "--trainer.fast_dev_run", "true"
        ).model.state_dict()
    ) == set(fit(*tiny()).model.state_dict())


ON_TOP: dict[str, tuple[list[str], list[str]]] = {
    "cifar10_16_classes.yaml": (
        ["--config", "configs/cifar10_16.yaml"],
        ["--data.init_args.dataset.init_args.classes", '["1", "2"]'],
    ),
    "cifar100_from_cifar10.yaml": (
        ["--config", "configs/cifar10.yaml"],
        [
            "--model.init_args.initial_weights",
            "null",
            "--model.init_args.initial_weights_except",
            "null",
        ],
    ),
}
"""Configs that go on top of another, and what the digits of this test need."""


@pytest.mark.parametrize(
    "config",
    sorted({path.name for path in (REPOSITORY / "configs").glob("*.yaml")} - {"base.yaml"}),
)
def test_every_config_runs(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from datamodules import Digits, TorchvisionImages

    monkeypatch.setattr(TorchvisionImages, "read", lambda self, split: Digits().read(split))
    below, others = ON_TOP.get(config, ([], []))
    whole = config in ("cifar10.yaml", "gaussian.yaml")
    small = [] if whole else ["--data.init_args.dataset.init_args.subset", "200"]
    fit(
        *below,
        "--config",
        f"configs/{config}",
        *small,
        *others,
        "--trainer.fast_dev_run",
        "true",
        "--trainer.accelerator",
        "cpu",
    )
    assert not Path("runs").exists(), "a trial leaves nothing"


def test_callbacks_without_a_plus_stand_only_in_the_base() -> None:
    for file in (REPOSITORY / "configs").glob("**/*.yaml"):
        assert "callbacks" not in yaml.safe_load(file.read_text()).get("trainer", {}), file


def test_every_public_argument_is_typed() -> None:
    import inspect

    import callbacks
    import datamodules
    import lightning_modules
    import lightning_modules.networks as networks

    for package in (callbacks, datamodules, lightning_modules, networks):
        for name in package.__all__:
            for parameter in list(
                inspect.signature(getattr(package, name).__init__).parameters.values()
            )[1:]:
                assert parameter.annotation is not parameter.empty or parameter.kind in (2, 4), (
                    name,
                    parameter,
                )


def test_another_class_takes_none_of_the_first_ones_arguments() -> None:
    finished = fit(
        *tiny(),
        "--model.init_args.network",
        "lightning_modules.networks.Linear",
        "--trainer.fast_dev_run",
        "true",
    )
    assert sum(parameter.numel() for parameter in finished.model.parameters()) == 2570


def test_configs_are_found_from_anywhere() -> None:
    assert not Path("configs").exists()
    assert find_configs(["--config=configs/digits.yaml"]) == [
        "--config",
        str(REPOSITORY / "configs/digits.yaml"),
    ]
    assert find_configs(["--config", "configs/digits.yaml"]) == [
        "--config",
        str(REPOSITORY / "configs/digits.yaml"),
    ]
