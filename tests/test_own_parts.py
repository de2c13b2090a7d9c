"""Classes of one's own that act over time: timeline, resumes and studies have their answers."""

from typing import Any

import pytest

from plasticity_lab.runs.main import main
from plasticity_lab.studies.classes import why_not_shareable
from tests.runs import fit, logged, tiny
from tests.studies.test_epoch_signatures import common, epochs
from tests.test_bad_input import refused
from tests.test_contracts import EVERY_KIND, FEW_OF_EVERY_KIND, check_resumes


def node(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"tests.own_parts.{name}", "init_args": arguments}


FADING = node("FadingContrast", levels={"0ep": 0.2, "5st": 0.5, "2ep": None})
NOISE = node("HeadNoise", every="3st")
GROWTH = node("OddFirst", at=["1ep", "2ep"])
NORM = node("HeadNorm", every="1ep")


def data(**arguments: Any) -> dict[str, Any]:
    return {"data": {"init_args": arguments}}


def callbacks(*nodes: dict[str, Any]) -> dict[str, Any]:
    return {"trainer": {"callbacks+": list(nodes)}}


OWN = {**data(growth=GROWTH, deficits=[FADING]), **callbacks(NOISE, NORM, node("Wobble"))}

TIMELINE = """\
epoch  step  stage  examples  steps/epoch  deficits             augmentation
0      0     0      25        1            FadingContrast: 0.2  -
1      1     1      50        2            FadingContrast: 0.2  -
2      3     2      100       4            -                    -
3      7     end
HeadNoise: every 3st
Wobble: every 1ep
OddFirst: 25, 50, 100 examples
"""


def test_the_timeline_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", *tiny(OWN), "--print_timeline"])
    assert capsys.readouterr().out == TIMELINE


def test_they_act_are_logged_and_measured() -> None:
    finished = fit(*tiny(OWN))
    values = logged(finished.place.directory)
    faded = values["deficits/FadingContrast"]
    assert [(step, round(value, 3)) for step, value in faded] == [(0, 0.2), (1, 0.2), (3, 0)]
    assert values["interventions/HeadNoise"] == [(3, 1), (6, 1)]
    assert [step for step, _ in values["diagnostics/head_norm"]] == [0, 2, 6]


def test_they_resume_from_a_checkpoint() -> None:
    check_resumes(OWN, EVERY_KIND, every=99, first=4)


@pytest.mark.slow
def test_they_resume_from_every_kind_of_checkpoint() -> None:
    check_resumes(OWN, FEW_OF_EVERY_KIND)


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        (
            data(deficits=[node("FadingContrast", levels={"0ep": 0.2, "4ep": 0.5})]),
            data(deficits=[node("FadingContrast", levels={"0ep": 0.2, "6ep": None})]),
            4,
        ),
        (callbacks(node("HeadNoise", every="3ep")), callbacks(node("HeadNoise", at=["3ep"])), 6),
        (callbacks(node("HeadNoise", every="25%")), {}, 2),
        (
            data(growth=node("OddFirst", at=["2ep", "5ep"])),
            data(growth=node("OddFirst", at=["2ep", "6ep"])),
            5,
        ),
        (callbacks(NORM), callbacks(NORM, node("HeadNoise", at=["3ep"])), 3),
        (callbacks(node("Wobble")), {}, 1),
    ],
)
def test_studies_share_their_epochs(
    first: dict[str, Any], second: dict[str, Any], shared: int
) -> None:
    assert common(epochs(8, first), epochs(8, second)) == shared


def test_only_what_has_hooks_of_its_own_must_answer_for_itself() -> None:
    for name in ("FadingContrast", "HeadNoise", "OddFirst", "HeadNorm", "Wobble"):
        assert not why_not_shareable(f"tests.own_parts.{name}")
    for name, reason in {
        "tests.studies.untrusted.Inheriting": "has on_train_epoch_start of its own, and no active",
        "tests.studies.untrusted.Reversed": "has order of its own, and no active",
        "tests.probes.StepLog": "may depend on the run's clock",
    }.items():
        assert why_not_shareable(name).startswith(reason)


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        (
            data(deficits=[node("FadingContrast", levels={"0ep": 0.5})], growth=GROWTH),
            (
                r"FadingContrast: levels: {0ep: 0.5}: at epoch 0 \(step 0\) the checkpoint was "
                r"trained with FadingContrast at 0.2, which is at 0.5 here; what has passed cannot "
                r"be changed: start a new run, or keep the checkpoint's levels: {0ep: 0.2, 5st: "
                r"0.5, 2ep: null} up to epoch 1"
            ),
        ),
        (
            callbacks(node("HeadNoise", every="2st")),
            r"HeadNoise: every: 2st: at epoch 1 \(step 2\) the checkpoint was trained without",
        ),
        (
            {**data(growth=node("OddFirst", at=["2ep", "3ep"])), "trainer": {"max_epochs": 4}},
            r"OddFirst: at: \[2ep, 3ep\]: at epoch 1 \(step 1\) the checkpoint was trained with "
            r"OddFirst at 1, which is at 0 here",
        ),
    ],
)
def test_a_config_that_contradicts_their_past_is_refused(
    branch: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    home = fit(*tiny(OWN, EVERY_KIND)).place.directory
    file = home / "checkpoints" / "epochendepoch=1.ckpt"
    refused(["fit", *tiny(branch, EVERY_KIND), "--ckpt_path", str(file)], message, capsys)
