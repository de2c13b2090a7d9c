"""Runs whose data follow the clock."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from callbacks.clock import run_schedule
from datamodules.transforms.blur import blur
from plasticity_lab.runs.main import main
from plasticity_lab.schedule import steps
from tests.registry import REGISTRY
from tests.runs import fit, logged, pictures, state, tiny
from tests.test_bad_input import refused
from tests.test_contracts import EVERY_KIND

BLUR = "datamodules.Blur"


def data(**arguments: Any) -> dict[str, Any]:
    return {"data": {"init_args": arguments}}


def deficit(*during: str, name: str = BLUR, **arguments: Any) -> dict[str, Any]:
    return {
        "class_path": name,
        "init_args": {"during": list(during), **({"size": 4} if name == BLUR else {}), **arguments},
    }


def growth(name: str = "UniformGrowth", **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"datamodules.{name}", "init_args": arguments}


def test_epochs_are_as_long_as_their_stage() -> None:
    record = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EpochLengths"}]}}
    finished = fit(*tiny(data(growth=growth(counts=[40, 70, 100], at=["1ep", "60%"])), record))
    callbacks: Any = finished.trainer.callbacks
    (lengths,) = [one for one in callbacks if type(one).__name__ == "EpochLengths"]
    assert lengths.announced == [2, 3, 4]
    assert (
        [len(set(indices)) for indices in lengths.indices]
        == [len(indices) for indices in lengths.indices]
        == [40, 70, 100]
    )
    assert set(lengths.indices[0]) < set(lengths.indices[1]) < set(lengths.indices[2])
    assert finished.trainer.global_step == 9
    assert finished.trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.1 * 0.8**3), (
        "the schedule counts epochs"
    )
    values = logged(finished.place.directory)
    assert values["data/stage"] == [(0, 0), (2, 1), (5, 2)]
    assert values["data/examples"] == [(0, 40), (2, 70), (5, 100)]


def test_an_adaptive_stage_ends_with_the_epoch_that_is_good_enough() -> None:
    adam = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.02}}
    settings = growth(step=30, until={"train_accuracy": 0.12, "at_most": "3ep"})
    fragment = {
        **data(growth=settings),
        "model": {"init_args": {"optimizer": adam}},
        "trainer": {"max_epochs": 14},
    }
    finished = fit(*tiny(fragment))
    values = logged(finished.place.directory)
    stage = [int(value) for _, value in values["data/stage"]]
    accuracy = [value for _, value in values["train/accuracy"]]
    began, expected = 0, [0]
    while expected[-1] < 4:
        epoch = len(expected) - 1
        ends = accuracy[epoch] >= 0.12 or epoch + 1 - began == 3
        began = epoch + 1 if ends else began
        expected.append(expected[-1] + ends)
    assert stage == expected[:-1], "after stage 3, the last, the run ends"
    assert len(accuracy) == len(stage) == finished.trainer.current_epoch < 14
    saved = torch.load(finished.place.directory / "checkpoints/last.ckpt", weights_only=True)
    decisions = json.loads(saved["callbacks"]["Clock"]["history"])["stages"]
    starts = [epoch for epoch in range(1, len(stage)) if stage[epoch] > stage[epoch - 1]]
    assert decisions["starts"] == starts
    assert {later - earlier for earlier, later in zip([0, *starts], starts, strict=False)} > {3}, (
        "both conditions were met"
    )


def test_stages_that_wait_need_a_module_that_says_how_well_it_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fragment = data(growth=growth(step=60, until={"train_accuracy": 0.9}))
    with pytest.raises(SystemExit) as stop:
        fit(*tiny({**fragment, "model": {"class_path": "tests.probes.Silent"}}))
    assert stop.value.code == 2
    assert re.search(
        "error: until: train_accuracy: waits for train/accuracy, which the module does not log",
        capsys.readouterr().err,
    )


def test_evaluation_is_on_clean_images_and_if_asked_on_impaired_ones() -> None:
    deficits = [deficit("0ep", "100%"), deficit("2ep", "3ep", name="datamodules.LabelPermutation")]
    finished = fit(*tiny(data(deficits=deficits, also_evaluate_with_deficit=True)))
    module, network = finished.data, finished.model.eval()
    mean, deviation = module.normalisation.mean, module.normalisation.std
    renamed = torch.tensor([2, 8, 7, 1, 9, 4, 3, 0, 5, 6])
    clean = impaired = 0
    for batch in module.test_dataloader():
        clean += int((network((batch.inputs - mean) / deviation).argmax(1) == batch.targets).sum())
        impaired += int(
            (
                network((blur(batch.inputs, 4) - mean) / deviation).argmax(1)
                == renamed[batch.targets]
            ).sum()
        )
    values = logged(finished.place.directory)
    assert clean != impaired
    assert (
        values["val/accuracy"][-1][1]
        == values["test/accuracy"][-1][1]
        == pytest.approx(clean / 500)
    )
    assert values["val_deficit/accuracy"][-1][1] == pytest.approx(impaired / 500)
    assert len(values["val_deficit/accuracy"]) == 3, "the whole run"


def test_a_window_of_steps_opens_and_closes_inside_an_epoch() -> None:
    finished = fit(*tiny(data(deficits=[deficit("2st", "7st")])))
    assert logged(finished.place.directory)["deficits/Blur"] == [(2, 1), (4, 1), (7, 0), (8, 0)]


def test_a_deficit_may_be_tied_to_a_stage() -> None:
    growing = growth(fractions=[0.5, 1.0], at=["1ep"])
    finished = fit(*tiny(data(growth=growing, deficits=[deficit("0ep", "stage1")])))
    assert logged(finished.place.directory)["deficits/Blur"] == [(0, 1), (2, 0), (6, 0)]


def test_a_branch_whose_past_is_the_same_is_the_whole_run() -> None:
    """What every study of removal times rests on."""
    trunk = fit(*tiny(data(deficits=[deficit("0ep", "3ep")]), EVERY_EPOCH))
    arm = tiny(data(deficits=[deficit("0ep", "2ep")]), EVERY_EPOCH)
    file = trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt"
    branch = fit(*arm, "--ckpt_path", str(file))
    assert branch.place.directory != trunk.place.directory
    assert state(branch) == state(fit(*arm)) != state(trunk)


def test_streaming_and_resident_data_agree_over_time() -> None:
    fragment = REGISTRY["everything at once"].acting
    assert state(fit(*tiny(fragment, data(resident=False, workers=2)))) == state(
        fit(*tiny(fragment))
    )


EVERY_EPOCH = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EpochEnd"}]}}

CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a deficit that never was": (
        data(deficits=[deficit("0ep", "2ep")]),
        (
            r"Blur: during: \[0ep, 2ep\]: at epoch 0 .step 0. the checkpoint was trained without "
            r"Blur\(size=4\); what has passed cannot be changed: start a new run, or set a time "
            r"after epoch 1 .step 7."
        ),
    ),
    "growth that never was": (
        data(growth=growth(fractions=[0.5, 1.0], at=["2ep"])),
        (
            r"UniformGrowth: at: \[2ep\]: at epoch 0 .step 0. the checkpoint was trained without "
            "UniformGrowth; what has passed cannot be changed: start a new run"
        ),
    ),
    "augmentation that was": (
        data(augmentation={"init_args": {"during": ["2ep", "3ep"]}}),
        (
            r"CropFlip: during: \[2ep, 3ep\]: at epoch 0 .step 0. the checkpoint was trained "
            r"with CropFlip\(padding=2, flip=True, fill=mean\) at 1.0; what has passed"
        ),
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_time_that_has_passed_is_refused(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = CONTRADICTIONS[case]
    plain = REGISTRY["CropFlip"].acting
    trunk = fit(*tiny(plain, EVERY_EPOCH))
    file = trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt"
    refused(["fit", *tiny(plain, fragment), "--ckpt_path", str(file)], message, capsys)
    later = data(deficits=[deficit("2ep", "3ep")])
    assert fit(*tiny(plain, later, EVERY_EPOCH), "--ckpt_path", str(file)).trainer.global_step == 12


def test_two_windows_of_one_deficit_are_gone_on_with() -> None:
    twice = data(deficits=[deficit("0ep", "1ep"), deficit("9st", "100%")])
    whole = fit(*tiny(twice, EVERY_EPOCH))
    blurred = (("deficits/Blur(size=4)", True),)
    assert [(entry.now[:2], entry.answers) for entry in whole.data.history.entries] == [
        ((0, 0), blurred),
        ((1, 4), ()),
        ((2, 9), blurred),
    ]
    for epoch in (0, 1):
        file = whole.place.directory / "checkpoints" / f"epochendepoch={epoch}.ckpt"
        assert state(fit(*tiny(twice, EVERY_EPOCH), "--ckpt_path", str(file))) == state(whole)


@pytest.mark.parametrize(
    ("trunk", "arm", "step"),
    [([], "[1st, 3st]", 1), (["5st", "7st"], "[5st, 6st]", 6), ([], "[7st, 100%]", 7)],
)
def test_a_window_of_steps_that_have_passed_is_refused(
    trunk: list[str], arm: str, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    deficits = data(deficits=[deficit(*trunk)] if trunk else [])
    home = fit(*tiny(deficits, EVERY_KIND)).place.directory
    been = "with" if trunk else "without"
    file = home / "checkpoints" / ("epochendepoch=1.ckpt" if step < 7 else "stepstep=8.ckpt")
    message = (
        rf"during: {re.escape(arm)}: at epoch {step // 4} \(step {step}\) the checkpoint was "
        rf"trained {been} Blur\(size=4\)"
    )
    changed = data(deficits=[deficit(*arm.strip("[]").split(", "))])
    refused(["fit", *tiny(changed, EVERY_KIND), "--ckpt_path", str(file)], message, capsys)


def test_evaluating_with_deficits_changes_nothing_while_they_act() -> None:
    acting = data(
        deficits=[deficit("0ep", "2ep"), deficit("1ep", "2ep", name="datamodules.WhiteNoise")]
    )
    assert state(fit(*tiny(acting, data(also_evaluate_with_deficit=True)))) == state(
        fit(*tiny(acting))
    )


def test_a_checkpoint_saved_before_the_accuracy_is_known_does_not_decide_a_stage() -> None:
    waiting = data(growth=growth(step=30, until={"train_accuracy": 0.12, "at_most": "3ep"}))
    longer = {"trainer": {"max_epochs": 8}}
    early = {"trainer": {"callbacks+": [{"class_path": "tests.probes.EarlySave"}]}}
    assert state(fit(*tiny(waiting, longer, early))) == state(fit(*tiny(waiting, longer)))


def test_a_branch_shows_what_it_begins_with() -> None:
    trunk = fit(*tiny(EVERY_EPOCH))
    arm = tiny(data(deficits=[deficit("2ep", "3ep")]), EVERY_EPOCH)
    branch = fit(
        *arm, "--ckpt_path", str(trunk.place.directory / "checkpoints" / "epochendepoch=0.ckpt")
    )
    assert [step for step, _ in pictures(branch.place.directory)["data/as_seen"]] == [4, 8]


def test_stages_may_begin_to_wait_in_a_branch_but_not_be_fewer_than_were(
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = {"train_accuracy": 0.01}
    trunk = fit(*tiny(data(growth=growth(fractions=[0.5, 1.0], at=["2ep"])), EVERY_KIND))
    first = str(trunk.place.directory / "checkpoints" / "epochendepoch=0.ckpt")
    waiting = tiny(data(growth=growth(fractions=[0.5, 0.7, 1.0], until=until)), EVERY_KIND)
    branch = fit(*waiting, "--ckpt_path", first)
    assert branch.data.history.stages.starts == [2, 3], (
        "the last epoch before the branch was not waited for"
    )
    whole = fit(*waiting)
    assert whole.data.history.stages.starts == [1, 2]
    third = str(whole.place.directory / "checkpoints" / "epochendepoch=1.ckpt")
    fewer = tiny(data(growth=growth(fractions=[0.5, 0.7], until=until)), EVERY_KIND)
    refused(
        ["fit", *fewer, "--ckpt_path", third],
        "growth: the checkpoint was trained in stage 2, here the last is 1",
        capsys,
    )


def test_a_window_that_closed_too_late_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    trunk = fit(*tiny(data(deficits=[deficit("0ep", "3ep")]), EVERY_EPOCH))
    file = trunk.place.directory / "checkpoints" / "epochendepoch=1.ckpt"
    message = (
        r"during: \[0ep, 1ep\]: at epoch 1 .step 4. the checkpoint was trained with "
        r"Blur\(size=4\); what has passed"
    )
    refused(
        ["fit", *tiny(data(deficits=[deficit("0ep", "1ep")])), "--ckpt_path", str(file)],
        message,
        capsys,
    )


TIMELINE = """\
epoch  step  stage  examples  steps/epoch  deficits                        augmentation
0      0     0      50        2            Blur(size=4), LabelPermutation  CropFlip
1      3     0      50        2            LabelPermutation                CropFlip
2      4     1      100       4            LabelPermutation                CropFlip
2      6     1      100       4            WhiteNoise                      -
3      8     end
UniformGrowth(fractions=[0.5, 1.0]): 50, 100 examples
"""


def test_the_timeline_is_printed_and_nothing_else_happens(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deficits = [
        deficit("0ep", "3st"),
        deficit("0ep", "6st", name="datamodules.LabelPermutation"),
        deficit("6st", "100%", name="datamodules.WhiteNoise"),
    ]
    fragment = data(growth=growth(fractions=[0.5, 1.0], at=["50%"]), deficits=deficits)
    main(["fit", *tiny(REGISTRY["CropFlip"].acting, fragment), "--print_timeline"])
    assert capsys.readouterr().out == TIMELINE
    assert not Path("runs").exists()


def test_the_timeline_is_what_happens() -> None:
    fragment = REGISTRY["everything at once"].acting
    finished = fit(*tiny(fragment))
    schedule = run_schedule(finished.trainer)
    path = finished.data.plan(finished.trainer).positions(schedule.times)
    told = [(now, schedule.answers(before, now)) for before, now in steps(path)]
    changes = [
        entry for number, entry in enumerate(told) if not number or entry[1] != told[number - 1][1]
    ]
    happened = [(entry.now, entry.answers) for entry in finished.data.history.entries]
    assert happened == changes


def test_the_timeline_of_stages_that_wait_says_what_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fragment = data(
        growth=growth(step=60, until={"train_accuracy": 0.9, "at_most": "2ep"}),
        deficits=[deficit("0ep", "1ep")],
    )
    main(["fit", *tiny(fragment), "--print_timeline"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["0", "0", "0", "60", "2", "Blur(size=4)", "-"]
    assert lines[2].split() == ["1", "?", "?", "?", "?", "-", "-"]
    until = "each stage lasts until an epoch's train/accuracy reaches 0.9, or at most 2ep"
    end = "the last stage too, and the run ends with it, at the latest after 3 epochs (max_epochs)"
    assert lines[-2].split() == ["<=3", "?", "end"]
    assert lines[-1] == f"UniformGrowth(step=60): 60, 100 examples; {until}; {end}"
