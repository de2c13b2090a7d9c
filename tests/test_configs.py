"""Every config that ships."""

from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Callback

from callbacks import diagnostics
from tests.datamodules.test_datasets import make_folder
from tests.runs import REPOSITORY, fit, logged

CONFIGS = REPOSITORY / "configs"
FOLDERS = ("growth", "deficits", "interventions", "optimizers", "training_rules")
ARMS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for folder in FOLDERS
    for path in (CONFIGS / folder).iterdir()
)


@pytest.mark.parametrize("arm", [arm for arm in ARMS if not arm.startswith("interventions/")])
def test_every_arm_runs_with_a_base(arm: str) -> None:
    """Interventions run below, for as long as they need to act."""
    fit(
        "--config",
        "configs/digits.yaml",
        "--config",
        f"configs/{arm}",
        *(twenty_classes() if "classes_by_five" in arm else ()),
        "--trainer.fast_dev_run",
        "true",
    )


def twenty_classes() -> list[str]:
    root = make_folder(Path("images"), 2, tuple(f"class{number:02}" for number in range(20)))
    dataset = {"class_path": "datamodules.FolderImages", "init_args": {"root": str(root)}}
    Path("twenty.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"dataset": dataset}}}))
    return ["--config", "twenty.yaml"]


def test_arms_compose_with_another_base_and_with_each_other(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "images", count=8)
    dataset = {
        "class_path": "datamodules.FolderImages",
        "init_args": {"root": str(root), "subset": None},
    }
    Path("folder.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"dataset": dataset}}}))
    arms = ("deficits/blur_digits.yaml", "deficits/label_noise.yaml", "growth/warm_start.yaml")
    configs = [
        f"--config={name}"
        for name in (
            "configs/cifar10_5000.yaml",
            *(f"configs/{arm}" for arm in arms),
            "folder.yaml",
        )
    ]
    finished = fit(*configs, "--trainer.fast_dev_run", "true")
    assert [repr(deficit) for deficit in finished.data.transforms.deficits] == [
        "Blur(size=4)",
        "LabelNoise(fraction=0.4)",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm.startswith("interventions/")])
def test_an_intervention_acts(arm: str) -> None:
    """Ten epochs of one batch each, growing halfway."""
    few = (
        "--data.init_args.dataset.init_args.subset",
        "40",
        "--trainer.max_epochs",
        "10",
        "--trainer.limit_train_batches",
        "1",
        "--trainer.limit_test_batches",
        "1",
        "--trainer.enable_checkpointing",
        "false",
    )
    crop = ("--data.init_args.augmentation", "CropFlip") if "augmentation" in arm else ()
    files = (
        "--config",
        "configs/digits.yaml",
        *crop,
        "--config",
        "configs/growth/warm_start.yaml",
        "--config",
        f"configs/{arm}",
    )
    settings = yaml.safe_load((CONFIGS / arm).read_text())
    # Statistics are recomputed for the validation.
    validated = str(int("norm_recalibration" in arm))
    values = logged(fit(*files, *few, "--trainer.limit_val_batches", validated).place.directory)
    if "augmentation" in arm:
        assert values["data/augmented"] == [(step, 0.0) for step in range(5, 10)]
    else:
        path = settings["trainer"]["callbacks+"][0]["class_path"]
        assert values[f"interventions/{path.removeprefix('callbacks.')}"]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_short_says_what_it_reproduces_and_replaces_nothing(arm: str) -> None:
    text = (CONFIGS / arm).read_text()
    assert len(text.splitlines()) <= 15
    assert text.startswith("# ")
    assert any(
        name in text for name in ("et al.", "Ash & Adams", "Elsayed", "Frankle & Carbin", "Pawlak")
    ), "a paper or its author"
    assert "callbacks:" not in text
    assert "growth:" not in text or arm.startswith("growth/"), arm
    assert "deficits:" not in text


def test_configs_have_no_folder_of_their_own_that_is_not_tested() -> None:
    assert {path.name for path in CONFIGS.iterdir() if path.is_dir()} == {
        *FOLDERS,
        "diagnostics",
        "studies",
    }, "tests/studies/test_configs.py has those"


@pytest.mark.slow
@pytest.mark.usefixtures("plain_layout")
def test_everything_is_measured_by_one_file() -> None:
    short = ("--trainer.max_epochs", "1", "--data.init_args.dataset.init_args.subset", "300")
    narrow = ("--model.init_args.network.init_args.width", "4")
    files = ("--config", "configs/digits.yaml", "--config", "configs/diagnostics/all.yaml")
    finished = fit(*files, *short, *narrow)
    callbacks: list[Callback] = finished.trainer.callbacks
    listed = {type(callback).__name__ for callback in callbacks}
    none = {"Diagnostic", "ProbeDiagnostic", "Look", "Probe"}
    # Which need data, a network or an objective of their own.
    of_some_runs = {"StageAccuracy", "FewShot", "NodeCorrelation", "InfiniteWidthReference"}
    assert {*diagnostics.__all__} - none - of_some_runs <= listed
    families = {
        tag.split("/")[1]
        for tag in logged(finished.place.directory)
        if tag.startswith("diagnostics/")
    }
    assert families >= {
        "fisher",
        "hessian",
        "kernel",
        "weights",
        "forgetting",
        "margin",
        "cka",
        "code",
        "effective_rank",
        "dormant",
        "surviving_weights",
        "source_variance",
        "alignment_angle",
    }
