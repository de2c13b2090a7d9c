"""What bad input gets: one line that names key, value and fix, exit code 2, and nothing written."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from datamodules import FolderImages
from plasticity_lab.runs.main import main
from tests.datamodules.test_datasets import make_folder
from tests.runs import fit, tiny


def _deficit(*during: str | int, name: str = "Blur", **arguments: Any) -> list[str]:
    init_args = {"during": list(during), **({"size": 4} if name == "Blur" else {}), **arguments}
    return [
        "--data.init_args.deficits+",
        json.dumps({"class_path": f"datamodules.{name}", "init_args": init_args}),
    ]


def _growth(name: str = "UniformGrowth", **arguments: Any) -> list[str]:
    return [
        "--data.init_args.growth",
        json.dumps({"class_path": f"datamodules.{name}", "init_args": arguments}),
    ]


_CHECKPOINT = "pytorch_lightning.callbacks.ModelCheckpoint"

CASES: dict[str, tuple[list[str], str]] = {
    "an unknown subcommand": (["fitt"], r"invalid choice: 'fitt' \(choose from 'fit'"),
    "no config": (["fit"], "the following arguments are required: data, model"),
    "an absent config": (
        ["fit", "--config", "absent.yaml"],
        "config: File does not exist: '.*absent.yaml'",
    ),
    "a mistyped trainer key": (
        ["--trainer.max_epoch", "3"],
        "unrecognized arguments: --trainer.max_epoch 3",
    ),
    "a mistyped key of the model": (
        ["--model.init_args.netwrk", "3"],
        "model: Option 'netwrk' is not accepted; --print_config shows",
    ),
    "a mistyped key of a network": (
        ["--model.init_args.network.init_args.nrm", "3"],
        "model: Option 'nrm' is not accepted; --print_config shows",
    ),
    "a value of another type": (
        ["--trainer.max_epochs", "ten"],
        "trainer.max_epochs: Expected a <class 'int'>. Got value: ten",
    ),
    "a seed that is no number": (
        ["--seed_everything", "true"],
        "seed_everything: Expected a <class 'int'>. Got value: True",
    ),
    "a mistyped network": (
        ["--model.init_args.network", "ResNett"],
        "model.network: no class is named ResNett; use its full path",
    ),
    "a mistyped optimizer": (
        ["--model.init_args.optimizer", "SDG"],
        "model.optimizer: no class is named SDG; use its full path",
    ),
    "a mistyped data set": (
        ["--data.init_args.dataset.class_path", "datamodules.Digitz"],
        "data.dataset: module 'datamodules' has no attribute 'Digitz'",
    ),
    "a mistyped callback": (
        ["--trainer.callbacks+=EarlyStopin"],
        "trainer.callbacks: no class is named EarlyStopin",
    ),
    "a rate below zero": (
        ["--model.init_args.optimizer.init_args.lr", "-1"],
        "optimizer, lr_scheduler: Invalid learning rate: -1.0",
    ),
    "a batch of none": (["--data.init_args.batch_size", "0"], "batch_size: 0: set 1 or more"),
    "no full batch": (
        ["--data.init_args.drop_last", "true", "--data.init_args.batch_size", "101"],
        "batch_size: 101: no full batch in 100 training examples; choose a smaller one",
    ),
    "a last batch of one": (
        ["--data.init_args.batch_size", "33"],
        (
            "batch_size: 33: an epoch's last batch would hold one example, .*; set drop_last: "
            "true, or another batch_size"
        ),
    ),
    "workers below none": (
        ["--data.init_args.workers", "-1"],
        r"workers: -1: set 0 \(none\) or more",
    ),
    "a seed below zero": (
        ["--seed_everything", "-1"],
        "seed_everything: -1: set a whole number in 0…4294967295",
    ),
    "a strategy that is none": (
        ["--trainer.strategy", "foo"],
        "trainer: You selected an invalid strategy name",
    ),
    "an accelerator that is none": (
        ["--trainer.accelerator", "foo"],
        "trainer: You selected an invalid accelerator name",
    ),
    "a network of no width": (
        [
            "--model.init_args.network",
            "lightning_modules.networks.ResNet",
            "--model.init_args.network.init_args.width",
            "0",
        ],
        "width: 0: set 1 or more",
    ),
    "smoothing beyond one": (
        ["--model.init_args.label_smoothing", "1"],
        r"label_smoothing: 1.0: set a number in \[0, 1\)",
    ),
    "more examples than there are": (
        ["--data.init_args.dataset.init_args.subset", "5000"],
        "subset: 5000: choose 1 to 1297",
    ),
    "padding below zero": (
        [
            "--data.init_args.augmentation",
            "CropFlip",
            "--data.init_args.augmentation.init_args.padding",
            "-3",
        ],
        "padding: -3: set 0",
    ),
    "no reload": (
        ["--trainer.reload_dataloaders_every_n_epochs", "0"],
        "reload_dataloaders_every_n_epochs: must be 1",
    ),
    "an absent GPU": (["--trainer.accelerator", "gpu"], "No supported gpu backend found"),
    "batch norm synchronised on a CPU": (
        ["--trainer.sync_batchnorm", "true"],
        "sync_batchnorm: true: torch synchronises .* on GPUs only",
    ),
    "an absent checkpoint": (
        ["--ckpt_path", "absent.ckpt"],
        "ckpt_path: absent.ckpt: no such file; name a checkpoint, or set 'last'",
    ),
    "a time without a unit": (
        _deficit("0ep", "10"),
        "data.deficits.during: '10' is not a time: set '80ep'",
    ),
    "a time that is a number": (
        _deficit("0ep", 10),
        "data.deficits.during: 10 is not a time: set '80ep'",
    ),
    "a window of one moment": (
        _deficit("0ep"),
        "data.deficits.during: Expected a tuple with 2 elements. Got value: .*0ep",
    ),
    "a window that ends before it starts": (
        _deficit("2ep", "1ep"),
        r"during: \[2ep, 1ep\]: ends before it starts; set",
    ),
    "a window of another unit that does": (
        _deficit("2ep", "3st"),
        r"Blur\(size=4\): during: \[2ep, 3st\]: is never active; set",
    ),
    "a window that never ends": (
        _deficit("0ep", "9ep"),
        (
            r"Blur\(size=4\): during: \[0ep, 9ep\]: 9ep is never reached: the run has 3 epochs, "
            "12 steps, and 1 data stage"
        ),
    ),
    "one of two windows that never ends": (
        [*_deficit("0ep", "9ep"), *_deficit("0ep", "1ep")],
        r"during: \[0ep, 9ep\]: 9ep is never reached: .*; set an earlier time",
    ),
    "a timeline of no training": (
        ["test", "--config", "configs/digits.yaml", "--print_timeline"],
        "print_timeline: test trains nothing; use it with fit",
    ),
    "a callback without an argument that it needs": (
        ["--trainer.callbacks+", json.dumps({"class_path": "callbacks.Margins"})],
        "trainer.callbacks: Margins: every: has no default; set a value",
    ),
    "a deficit without its time": (
        [
            "--data.init_args.deficits",
            json.dumps([{"class_path": "datamodules.Blur", "init_args": {"size": 4}}]),
        ],
        r"Blur: set during: \[start, stop\], such as \[0ep, 20ep\], or levels",
    ),
    "a network without its name": (
        [
            "--model.init_args.network",
            json.dumps({"class_path": "lightning_modules.networks.TorchvisionNetwork"}),
        ],
        "model: TorchvisionNetwork: name: has no default; set a value",
    ),
    "a condition that is a number": (
        _growth(step=50, until=0.9),
        "data.growth.until: not a StageCriterion: set .* Got value: 0.9",
    ),
    "a callback's value outside its range": (
        [
            "--trainer.callbacks+",
            json.dumps({"class_path": f"{_CHECKPOINT}", "init_args": {"save_top_k": "many"}}),
        ],
        "trainer.callbacks.save_top_k: Expected a <class 'int'>. Got value: many",
    ),
    "a class of another kind": (["--data.init_args.growth", "CropFlip"], "data.growth: .*CropFlip"),
    "a window that is never reached": (
        _deficit("40st", "50st"),
        "40st is never reached: the run has 3 epochs, 12 steps",
    ),
    "a stage that is never reached": (
        _deficit("0ep", "stage1"),
        "stage1 is never reached: the run has 3 epochs, 12 steps, and 1 data stage",
    ),
    "a window of many moments": (
        _deficit("0ep", "stages"),
        "'stages' are several moments; set one of them",
    ),
    "more than all of the run": (_deficit("0ep", "120%"), "'120%' lies beyond the end of the run"),
    "a blur of no size": (
        _deficit("0ep", "1ep", size=0),
        "size: 0: images of 16 pixels can be blurred to 1 … 16",
    ),
    "a blur above the image": (
        _deficit("0ep", "1ep", size=17),
        "size: 17: images of 16 pixels can be blurred to 1 … 16",
    ),
    "noise beyond all labels": (
        _deficit("0ep", "1ep", name="LabelNoise", fraction=1.5),
        "fraction: 1.5: set the share of wrong labels",
    ),
    "more stages of a stream than classes": (
        _growth("ClassStream", classes_per_stage=5, every="1ep"),
        "every: 1ep: makes 3 stages of 3 epochs, and there are 2; set an every that makes 2 "
        "stages, or another max_epochs, or recurrence: cycle",
    ),
    "classes that do not divide": (
        _growth("ClassStream", classes_per_stage=3, every="1ep"),
        "classes_per_stage: 3: 1 of 10 classes would never be there; set a number that divides",
    ),
    "a task for something else": (
        ["--data.init_args.stage_transforms", '[{"class_path": "datamodules.TargetAffine"}]'],
        "stage_transforms: TargetAffine.*: changes real-valued targets, and the data have classes",
    ),
    "a permutation of more than all": (
        [
            "--data.init_args.stage_transforms",
            '[{"class_path": "datamodules.PixelPermutation", "init_args": {"fraction": 2}}]',
        ],
        r"fraction: 2.0: set the share of permuted positions, in \[0, 1\]",
    ),
    "a teacher of another size": (
        [
            "--data.init_args.dataset",
            json.dumps(
                {
                    "class_path": "datamodules.TeacherTargets",
                    "init_args": {
                        "dataset": {"class_path": "datamodules.Digits"},
                        "teacher": {
                            "class_path": "lightning_modules.networks.MLP",
                            "init_args": {"in_channels": 3, "num_classes": 1, "image_size": 32},
                        },
                    },
                }
            ),
        ],
        "teacher: MLP: cannot take images",
    ),
    "a class that there is not": (
        [
            "--data.init_args.dataset",
            json.dumps(
                {
                    "class_path": "datamodules.ClassSubset",
                    "init_args": {
                        "dataset": {"class_path": "datamodules.Digits"},
                        "classes": ["1", "12"],
                    },
                }
            ),
        ],
        "classes: 12: the data have no such class; the nearest are 2, 1",
    ),
    "weights that are not there": (
        ["--model.init_args.initial_weights", "absent.ckpt"],
        "initial_weights: absent.ckpt: no such file; name a checkpoint, or a file of weights",
    ),
    "stages that do not differ": (
        [
            *_growth(counts=[50, 100], every="2ep"),
            "--trainer.callbacks+",
            '{"class_path": "callbacks.StageAccuracy", "init_args": {"every": "1ep"}}',
        ],
        "StageAccuracy: growth: its stages have the same images to be tested on; use a ClassStream",
    ),
    "a mistyped deficit": (_deficit("0ep", "1ep", name="Blurr"), "data.deficits: .*Blurr"),
    "deficits to evaluate with that are none": (
        ["--data.init_args.also_evaluate_with_deficit", "true"],
        "also_evaluate_with_deficit: true: there are no deficits; add some, or remove it",
    ),
    "a window of no augmentation": (
        ["--data.init_args.augmentation.init_args.during", "[0ep, 1ep]"],
        "data.augmentation: there is none whose arguments these could be; set its class_path too",
    ),
    "fractions that do not grow": (
        _growth(fractions=[0.5, 0.5], at=["1ep"]),
        r"fractions: \[0.5, 0.5\]: stages must grow; set increasing numbers above 0",
    ),
    "fractions beyond all": (
        _growth(fractions=[0.5, 2.0], at=["1ep"]),
        r"fractions: .* is at most 1.0",
    ),
    "more examples in a stage than there are": (
        _growth(counts=[50, 500], at=["1ep"]),
        "there are 100 training examples",
    ),
    "more stages than classes": (
        _growth("ClassGrowth", stages=11, uniform_fraction=0.5, until={"train_accuracy": 0.9}),
        "stages: 11: there are 10 classes to deal; set fewer, or uniform_fraction: 1.0",
    ),
    "more stages than times": (
        _growth(fractions=[0.2, 0.5, 1.0], at=["1ep"]),
        r"at: \[1ep\]: 3 stages need 2 moments, when stages 1, 2, … begin",
    ),
    "a stage that begins never": (
        _growth(fractions=[0.5, 1.0], at=["3ep"]),
        "stage 1 would have no epoch of 3",
    ),
    "a stage that begins at once": (
        _growth(fractions=[0.5, 1.0], at=["0ep"]),
        "stage 0 would have no epoch of 3",
    ),
    "a stage inside an epoch": (
        _growth(fractions=[0.5, 1.0], at=["5st"]),
        "at: 5st: a stage begins with an epoch; set '80ep'",
    ),
    "an accuracy in percent": (
        _growth(step=50, until={"train_accuracy": 99}),
        r"train_accuracy: 99.0: set a share in \(0, 1\]",
    ),
    "no end of stages": (_growth(fractions=[0.5, 1.0]), r"growth: set one of at: \[times\]"),
    "a last batch of one in a later stage": (
        _growth(counts=[50, 65], at=["1ep"]),
        (
            "batch_size: 32: an epoch's last batch would hold one example, too few for batch "
            "norm, with 65 training examples; set drop"
        ),
    ),
    "no end of epochs": (
        [*_deficit("0ep", "1ep"), "--trainer.max_epochs", "-1"],
        r"max_epochs: -1: Blur\(size=4\) acts over time, which needs the number of epochs; set it",
    ),
    "an absent data set": (
        [
            "--data.init_args.dataset",
            "datamodules.TorchvisionImages",
            "--data.init_args.dataset.init_args.name",
            "CIFAR10",
            "--data.init_args.dataset.init_args.download",
            "false",
        ],
        "CIFAR10 is not in root: .*data and could not be downloaded .*; copy its files there",
    ),
}


def refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Check the one line, the exit code, and that no file was added or changed."""
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "Seed set to" not in line]
    assert len(lines) == 1, lines
    assert re.match(rf"train.py: error: .*{message}", lines[0]), lines[0]
    assert "; --print_config shows the keys there are; " not in lines[0]
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("case", CASES)
def test_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = CASES[case]
    refused(
        arguments if arguments[0] in ("fit", "fitt", "test") else ["fit", *tiny(), *arguments],
        message,
        capsys,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "trainer: {max_epochs: 3\nmodel: x",
            r"bad.yaml: line 2: while parsing a flow mapping, expected .*; correct it",
        ),
        (
            "trainer: {max_epoch: 3}",
            "there is no option 'trainer.max_epoch'; --print_config shows",
        ),
        (
            "model: {init_args: {network: {init_args: {nrm: 8}}}}",
            "model: Option 'nrm' is not accepted",
        ),
        (
            "# nothing yet\n",
            "config: bad.yaml: holds no keys and values; set some, or remove it",
        ),
    ],
)
def test_one_line_for_a_file(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(text)
    refused(["fit", *tiny(), "--config", "bad.yaml"], message, capsys)


def test_one_line_for_names_that_are_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"caf\xe9")
    refused(
        ["fit", *tiny(), "--run_dir", name],
        r"run_dir: .*caf\\udce9: TensorBoard needs a name in UTF-8; set another",
        capsys,
    )
    folder = [
        "--data.init_args.dataset",
        "datamodules.FolderImages",
        "--data.init_args.dataset.init_args.root",
        name,
    ]
    refused(
        ["fit", *tiny(), *folder],
        "data.*: a name that is not UTF-8, which a config cannot hold; use the name of a link",
        capsys,
    )


def test_one_line_for_a_damaged_image_among_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folder(tmp_path / "images")
    (root / "train" / "dog" / "1.png").write_bytes(b"damaged")
    dataset = {
        "class_path": "datamodules.FolderImages",
        "init_args": {"root": str(root), "subset": None},
    }
    fragment = {"data": {"init_args": {"dataset": dataset}}}
    refused(
        ["fit", *tiny(fragment)],
        "dog/1.png: not a readable image .*; replace or remove the file",
        capsys,
    )
    (root / "train" / "dog" / "1.png").unlink()
    fit(*tiny(fragment), "--trainer.fast_dev_run", "true")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_streamed_images_are_all_read_before_training(
    split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make_folder(tmp_path / "images", count=8)
    chosen: Any = getattr(FolderImages(str(root), validation=0.5).splits(0), split)
    file = chosen.files[5] if split == "test" else chosen.parent.files[int(chosen.indices[5])]
    Path(file).write_bytes(b"damaged")
    dataset = {
        "class_path": "datamodules.FolderImages",
        "init_args": {"root": str(root), "subset": None, "validation": 0.5},
    }
    fragment = {"data": {"init_args": {"dataset": dataset, "resident": False, "workers": 0}}}
    with pytest.raises(SystemExit) as stop:
        fit(*tiny(fragment))
    assert stop.value.code == 2
    assert re.search(
        "error: .*png: not a readable image .*; replace or remove the file", capsys.readouterr().err
    )
    assert not Path("runs").exists(), "only the cache on disk has grown, by what good splits hold"


@pytest.mark.parametrize("command", ["test", "validate", "predict"])
def test_measuring_needs_a_trained_network(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(
        [command, *tiny()],
        "ckpt_path: None: no trained network of this config in .*tiny0; name a checkpoint",
        capsys,
    )
    refused(
        [command, *tiny(), "--ckpt_path", "last"],
        "ckpt_path: last: no trained network of this config",
        capsys,
    )


def test_a_directory_that_holds_another_run_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fit(*tiny(), "--run_dir", "mine")
    refused(
        ["fit", *tiny(), "--run_dir", "mine"],
        "run_dir: .*mine: holds this run; resume it with --ckpt_path last, or",
        capsys,
    )
    arguments = ["--seed_everything", "1", "--run_dir", "mine"]
    differs = (
        r"run_dir: .*mine: holds another run, which differs in seed_everything \(0 there, 1 "
        r"here\).*; name a new directory"
    )
    refused(
        ["fit", *tiny(), *arguments],
        f"{differs}; to branch off it, set --ckpt_path .*mine/checkpoints/last.ckpt and",
        capsys,
    )
    refused(["fit", *tiny(), *arguments, "--ckpt_path", "last"], differs, capsys)
    refused(
        ["fit", *tiny(), *arguments, "--ckpt_path", "mine/checkpoints/last.ckpt"],
        "run_dir: .*mine: holds another run",
        capsys,
    )
    refused(
        ["fit", *tiny(), "--ckpt_path", "mine"],
        "ckpt_path: mine: is a directory; name a file in it, as mine/check",
        capsys,
    )
    Path("mine/manifest.json").write_text("{")
    refused(
        ["fit", *tiny(), "--run_dir", "mine", "--ckpt_path", "last"],
        "mine/manifest.json: is damaged; move it away to",
        capsys,
    )


def test_a_checkpoint_that_does_not_fit_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    fit(*tiny(), "--run_dir", "mine")
    file = "mine/checkpoints/last.ckpt"
    wider = ["--model.init_args.network", "lightning_modules.networks.Linear", "--ckpt_path", file]
    refused(
        ["fit", *tiny(), *wider],
        (
            r"ckpt_path: mine/.*: of another network: network.head.weight has shape \(10, 4\) "
            "there and"
        ),
        capsys,
    )
    Path("text.ckpt").write_text("no checkpoint")
    refused(
        ["fit", *tiny(), "--ckpt_path", "text.ckpt"],
        "ckpt_path: text.ckpt: truncated or not a checkpoint .*; name another",
        capsys,
    )
    torch.save({"weights": torch.zeros(3)}, "other.ckpt")
    refused(
        ["fit", *tiny(), "--ckpt_path", "other.ckpt"],
        "ckpt_path: other.ckpt: not a Lightning checkpoint; name another",
        capsys,
    )


def test_a_checkpoint_of_another_optimizer_or_of_weights_alone_is_not_gone_on_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = {
        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
        "init_args": {"save_weights_only": True, "filename": "weights", "monitor": "val/loss"},
    }
    fragment = {"trainer": {"callbacks+": [weights]}}
    fit(*tiny(fragment), "--run_dir", "mine")
    adam = [
        "--model.init_args.optimizer",
        "torch.optim.Adam",
        "--ckpt_path",
        "mine/checkpoints/last.ckpt",
    ]
    refused(
        ["fit", *tiny(fragment), *adam],
        "ckpt_path: .*last.ckpt: of another optimizer; name the one it was trained with",
        capsys,
    )
    only = ["--ckpt_path", "mine/checkpoints/weights.ckpt"]
    refused(
        ["fit", *tiny(fragment), *only],
        "ckpt_path: .*weights.ckpt: holds weights only, training cannot resume from it",
        capsys,
    )
    assert main(["test", *tiny(fragment), *only]).place.checkpoint == Path(
        "mine/checkpoints/weights.ckpt"
    )
    gone_on = fit(*tiny(fragment), "--run_dir", "mine", "--ckpt_path", "last")
    assert gone_on.place.checkpoint is not None
    assert gone_on.place.checkpoint.name in ("last.ckpt", "epoch=0002.ckpt")


def test_a_plateau_of_something_else_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    plateau = {
        "class_path": "pytorch_lightning.cli.ReduceLROnPlateau",
        "init_args": {"monitor": "val/accuracy", "mode": "max"},
    }
    message = (
        "lr_scheduler: monitor: val/accuracy: the schedule steps when only train/loss is known; "
        "set that"
    )
    refused(["fit", *tiny({"model": {"init_args": {"lr_scheduler": plateau}}})], message, capsys)


def test_a_strangers_checkpoint_cannot_run_code(capsys: pytest.CaptureFixture[str]) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return Path.touch, (Path("attacked"),)

    torch.save({"state_dict": {}, "global_step": 0, "attack": Attack()}, "attack.ckpt")
    message = "ckpt_path: attack.ckpt: holds getattr, which is not read because that could run code"
    refused(["fit", *tiny(), "--ckpt_path", "attack.ckpt"], message, capsys)
    assert not Path("attacked").exists()
