"""What is refused before training, and what the timeline says."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from plasticity_lab.runs.main import main
from tests.networks import SmallNet
from tests.registry import VARIANTS
from tests.runs import tiny
from tests.test_bad_input import refused


def one(name: str, **arguments: Any) -> dict[str, Any]:
    return {
        "trainer": {"callbacks+": [{"class_path": f"callbacks.{name}", "init_args": arguments}]}
    }


def model(**arguments: Any) -> dict[str, Any]:
    return {"model": {"init_args": arguments}}


_UNTIL = {"train_accuracy": 0.9}
WAITING = {
    "class_path": "datamodules.ClassGrowth",
    "init_args": {"stages": 2, "uniform_fraction": 0.5, "until": _UNTIL},
}
_BORING = "pytorch_lightning.demos.boring_classes.Boring"
BORING = {
    "model": {"class_path": f"{_BORING}Model"},
    "data": {"class_path": f"{_BORING}DataModule"},
}
"""A module and data of somebody else's."""


def crop(**arguments: Any) -> dict[str, Any]:
    augmentation = {"class_path": "datamodules.CropFlip", "init_args": arguments}
    return {"data": {"init_args": {"augmentation": augmentation}}}


MUON = {"class_path": "lightning_modules.optimizers.MuonAdamW", "init_args": {"lr": 0.01}}


class ComputedNet(SmallNet):
    """A network whose head computes its weight."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes)
        self.head = nn.utils.parametrizations.weight_norm(self.head)


def injection() -> dict[str, Any]:
    fragment = one("PlasticityInjection", at=["1ep"])
    options = {"widths": [12, 8], "norm": "none"}
    network = {
        "class_path": "lightning_modules.networks.InjectableNetwork",
        "init_args": {"network": "lightning_modules.networks.MLP", "options": options},
    }
    return {**fragment, "model": {"init_args": {"network": network}}}


def both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return two fragments as one, with the callbacks of both."""
    nodes = list(first["trainer"]["callbacks+"])
    nodes += second.get("trainer", {}).get("callbacks+", [])
    arguments = {**first["model"]["init_args"], **second.get("model", {}).get("init_args", {})}
    return {"trainer": {"callbacks+": nodes}, "model": {"init_args": arguments}}


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "more blocks than there are": (
        one("LayerReset", at=["1ep"], last=3),
        r"last: 3: SmallNet has 2 blocks \(conv, head\)",
    ),
    "a layer there is not": (
        one("LayerReset", at=["1ep"], layers=["fc"]),
        "layers: fc: matches nothing; there are conv, norm, dropout, head and their parts",
    ),
    "no layer": (one("LayerReset", at=["1ep"]), "set either last: 3 .* or layers"),
    "a time never reached": (
        one("OptimizerReset", at=["3ep"]),
        r"OptimizerReset\(what=all\): at: \[3ep\]: 3ep is never reached: the run has 3 epochs",
    ),
    "a step never reached": (
        one("OptimizerReset", at=["12st"]),
        r"OptimizerReset\(what=all\): at: \[12st\]: 12st is never reached",
    ),
    "more than all weights": (
        one("Prune", at=["1ep"], share=1.2),
        r"share: 1.2: set a share in \[0, 1\]",
    ),
    "shares of layers of all together": (
        one("Prune", at=["1ep"], shares={"head": 0.1}),
        "shares: .*: are of layers; set scope: layerwise",
    ),
    "a layer to leave out that there is not": (
        one("Prune", at=["1ep"], exclude=["tail"]),
        "exclude: tail: matches nothing; there are conv, norm, dropout, head",
    ),
    "pruned weights that a rule moves": (
        {**one("Prune", at=["1ep"]), **VARIANTS["SAM"]},
        "rule: SAM: moves pruned weights away from 0",
    ),
    "masks shuffled before there are any": (
        one("ShuffleMasks", at=["1ep"]),
        "ShuffleMasks: no callbacks.Prune stands before it",
    ),
    "a share of what is not pruned": (
        one("Prune", at=["1ep"], scope="layerwise", shares={"norm": 0.1}),
        "shares: norm: chooses no weights that are pruned",
    ),
    "an injection at each stage": (
        one("PlasticityInjection", at=["stages"]),
        "at: stages: a head is injected once; name one moment",
    ),
    "an injection beside units that are recycled": (
        {
            "trainer": {
                "callbacks+": [
                    {"class_path": "callbacks.ReDo", "init_args": {"every": "1ep"}},
                    {"class_path": "callbacks.PlasticityInjection", "init_args": {"at": ["1ep"]}},
                ]
            },
            **model(
                network={
                    "class_path": "lightning_modules.networks.InjectableNetwork",
                    "init_args": {"options": {"widths": [8, 8]}},
                }
            ),
        },
        "ReDo: looks for units once, and PlasticityInjection changes where they go",
    ),
    "an injection beside noise in the head": (
        {
            "trainer": {
                "callbacks+": [
                    {
                        "class_path": "callbacks.PreActivationNoise",
                        "init_args": {"levels": {"1ep": 0.1}},
                    },
                    {"class_path": "callbacks.PlasticityInjection", "init_args": {"at": ["1ep"]}},
                ]
            },
            **model(
                network={
                    "class_path": "lightning_modules.networks.InjectableNetwork",
                    "init_args": {"options": {"widths": [8, 8]}},
                }
            ),
        },
        "PreActivationNoise: adds other noise to each copy of the head of PlasticityInjection",
    ),
    "an injection of one linear layer": (
        model(
            network={
                "class_path": "lightning_modules.networks.InjectableNetwork",
                "init_args": {"options": {"widths": [8, 8]}, "last": 1},
            }
        ),
        r"last: 1: the head of MLP \(head\) is one linear layer, .* optimizer reset; set last: 2",
    ),
    "stages of data that do not grow": (
        one("ShrinkPerturb", at=["stages"]),
        r"ShrinkPerturb.*: at: \[stages\]: stages is never reached: .* 1 data stage",
    ),
    "a level never reached": (
        one("WeightDecaySchedule", levels={"4ep": 0.0}),
        "WeightDecaySchedule: levels: {4ep: 0.0}: 4ep is never reached",
    ),
    "a time without a unit": (
        one("LayerReset", at=["3"], last=1),
        "trainer.callbacks.at: '3' is not a time",
    ),
    "a level at no time": (
        one("WeightDecaySchedule", levels={"3": 0.0}),
        "'3' is not a time: set '80ep'",
    ),
    "levels that go back": (
        one("LearningRateFactor", levels={"2ep": 1.0, "1ep": 2.0}),
        "levels must increase in time: '1ep' stands after '2ep'",
    ),
    "no levels": (one("LearningRateFactor", levels={}), "levels is empty: set"),
    "a decay below zero": (
        one("WeightDecaySchedule", levels={"1ep": -1.0}),
        "levels: -1.0: a weight decay is 0 or more",
    ),
    "a factor below zero": (
        one("LearningRateFactor", levels={"1ep": -1.0}),
        "levels: -1.0: a factor is 0 or more",
    ),
    "a share beyond one": (
        crop(levels={"1ep": 2.0}),
        r"levels: 2.0: set the share .* in \[0, 1\]",
    ),
    "augmentation said twice": (
        crop(levels={"1ep": 0.5}, during=["0ep", "1ep"]),
        r"CropFlip: set either during: \[start, stop\] or levels: {time: value}",
    ),
    "no time at all": (one("OptimizerReset"), r"OptimizerReset: set either at: \[times\] or every"),
    "two words of time": (
        one("OptimizerReset", at=["1ep"], every="1ep"),
        r"OptimizerReset: set either at: \[times\] or every",
    ),
    "every nothing": (one("OptimizerReset", every="0ep"), "every: 0ep: set a time above 0"),
    "a recurrence that never comes": (
        one("OptimizerReset", every="3ep"),
        r"OptimizerReset\(what=all\): every: 3ep: 3ep is never reached: the run has 3 epochs",
    ),
    "no schedule": (
        {**one("LearningRateRestart", at=["1ep"]), **model(lr_scheduler=None)},
        "LearningRateRestart: needs one optimizer with an lr_scheduler",
    ),
    "an optimizer without decay": (
        {
            **one("WeightDecaySchedule", levels={"1ep": 0.0}),
            **model(optimizer={"class_path": "torch.optim.Rprop", "init_args": {"lr": 0.1}}),
        },
        "WeightDecaySchedule: Rprop has no weight decay",
    ),
    "weights shrunk by more than 1": (
        one("DASH", at=["1ep"], least=1.5),
        r"least: 1.5: set a factor in \[0, 1\]",
    ),
    "an average of nothing": (
        one("DASH", at=["1ep"], average=0.0),
        r"average: 0.0: set a share in \(0, 1\]",
    ),
    "a gradient of somebody else's loss": (
        {**one("DASH", at=["1ep"]), **BORING},
        "DASH: BoringModel does not say what its loss is; use lightning_modules.Supervised",
    ),
    "a tortoise without an average": (
        one("HareTortoise", every="1ep"),
        "HareTortoise: needs one average of the weights, and there are 0; add one pytorch_lightn",
    ),
    "a head injected twice": (
        one("PlasticityInjection", at=["1ep", "2ep"]),
        "a head is injected once; name one moment",
    ),
    "a head that cannot be injected": (
        one("PlasticityInjection", at=["1ep"]),
        "PlasticityInjection: SmallNet has no head that can be injected; use lightning_modules.net",
    ),
    "a head injected beside norms that are held": (
        both(injection(), one("NormaliseAndProject", levels={"0ep": 1})),
        "NormaliseAndProject: scales the two fresh copies of PlasticityInjection apart; remove one",
    ),
    "a head injected under an optimizer that looks at what is trained": (
        both(injection(), {"model": {"init_args": {"optimizer": MUON}}}),
        "optimizer: MuonAdamW: sorts parameters by which are trained, which PlasticityInjection",
    ),
    "a smaller network in one of two heads": (
        both(injection(), one("PartialReset", at=["1ep"], kept="leading")),
        "kept: leading: InjectableNetwork has no single first and last layer; use kept: random",
    ),
    "noise for linear layers whose weights are computed": (
        {
            **one("ShrinkPerturb", at=["1ep"], shrink=0.5, scope="linear", noise="gaussian"),
            "model": {"init_args": {"network": {"class_path": f"{__name__}.ComputedNet"}}},
        },
        "head: computes its weight from others, as by weight norm; remove that, or choose other",
    ),
    "no iteration": (
        one("FIRE", at=["1ep"], iterations=0),
        "iterations: 0: set 1 or more, or null: exact",
    ),
    "isometries of what has no matrix": (
        one("FIRE", at=["1ep"], layers=["norm"]),
        "FIRE: chooses no linear or convolutional layer; choose others",
    ),
    "no batch norm": (
        {
            **one("NormRecalibration", every="1ep"),
            **model(network={"class_path": "lightning_modules.networks.Linear"}),
        },
        "NormRecalibration: the network has no batch norm",
    ),
    "statistics every step": (
        one("NormRecalibration", every="10st"),
        "every: 10st: validation comes with an epoch's end; set a number of epochs, such as '1ep'",
    ),
    "statistics never": (
        one("NormRecalibration", every="9ep"),
        "every: 9ep: this run never validates then; set a shorter time",
    ),
    "statistics between validations": (
        {
            "trainer": {
                "check_val_every_n_epoch": 2,
                **one("NormRecalibration", every="3ep")["trainer"],
            }
        },
        "every: 3ep: this run never validates then",
    ),
    "initial values that only the module knows": (
        {**one("LayerReset", at=["1ep"], layers=["layer"], to="initial"), **BORING},
        (
            "to: initial: BoringModel draws its initial values itself; use "
            "lightning_modules.Supervised, or fresh draws"
        ),
    ),
    "an epoch never reached with other data": (
        {**one("OptimizerReset", at=["3ep"]), **BORING},
        r"OptimizerReset\(what=all\): at: \[3ep\]: 3ep is never reached: the run has 3 epochs",
    ),
    "stages of other data": (
        {**one("OptimizerReset", at=["stages"]), **BORING},
        r"OptimizerReset\(what=all\): at: \[stages\]: stages is never reached",
    ),
    "a rewind whose order is not known": (
        {**one("Rewind", at=["stage1"], to="2ep"), "data": {"init_args": {"growth": WAITING}}},
        (
            "Rewind: to: 2ep: whether at lies after it is not known before the run; set both in "
            "one unit"
        ),
    ),
    "a rewind of other data": (
        {**one("Rewind", at=["4st"], to="1ep"), **BORING},
        "Rewind: to: 1ep: whether at lies",
    ),
    "a step that no stage reaches": (
        {**one("OptimizerReset", at=["99st"]), "data": {"init_args": {"growth": WAITING}}},
        r"OptimizerReset\(what=all\): at: \[99st\]: 99st is never reached: the run has at most",
    ),
    "a rewind to a time never reached": (
        one("Rewind", at=["20st"], to="13st"),
        r"Rewind.*: at: \[20st\]: 20st is never reached",
    ),
    "a rewind to the same batch": (
        one("Rewind", at=["4st"], to="1ep"),
        "Rewind: to: 1ep: must lie before every moment of at",
    ),
    "a rewind to all stages": (
        one("Rewind", at=["2ep"], to="stages"),
        "to: stages: are several moments",
    ),
    "layers without values": (
        one("LayerReset", at=["1ep"], layers=["dropout"]),
        "layers: dropout: have no values to draw; choose",
    ),
    "levels at all stages": (
        one("LearningRateFactor", levels={"stages": 2.0}),
        "levels: 'stages' are several moments",
    ),
    "a rate that is no number": (
        one("WeightDecaySchedule", levels={"1ep": float("nan")}),
        "levels.1ep: .nan: is not a finite number; set one",
    ),
    "a level of two callbacks": (
        {
            "trainer": {
                "callbacks+": [
                    one("LearningRateFactor", levels={at: 2.0})["trainer"]["callbacks+"][0]
                    for at in ("1ep", "2ep")
                ]
            }
        },
        "LearningRateFactor: stands twice in callbacks; list it once, with all its times",
    ),
    "no number of epochs": (
        {
            "trainer": {
                "max_epochs": -1,
                "max_steps": 9,
                **one("OptimizerReset", at=["1ep"])["trainer"],
            }
        },
        "max_epochs: -1: OptimizerReset\\(what=all\\) acts over time",
    ),
    "a rewind to later": (one("Rewind", at=["1ep"], to="2ep"), "to: 2ep: must lie before at: 1ep"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    fragment, message = CASES[case]
    refused(["fit", *tiny(fragment)], message, capsys)


TIMELINE = """\
epoch  step  stage  examples  steps/epoch  deficits  augmentation  interventions
0      0     0      50        2            -         -             WeightDecaySchedule: 0.001
1      2     1      100       4            -         -             ShrinkPerturb(shrink=0.5, \
perturb=0.0, noise=fresh, scope=all, norm_statistics=keep, optimizer_state=keep)
1      4     1      100       4            -         -             WeightDecaySchedule: 0.0
3      10    end
UniformGrowth(fractions=[0.5, 1.0]): 50, 100 examples
"""


RECURRING = """\
epoch  step  stage  examples  steps/epoch  deficits              augmentation  interventions
0      0     0      100       4            Blur: 4               -
1      4     0      100       4            Blur: 4               -             \
Rewind(to=1ep, optimizer_state=keep, learning_rate=keep): takes the state
1      6     0      100       4            Blur: 8               -
2      8     0      100       4            Blur: 8, LabelNoise: 0.5  -             \
Rewind(to=1ep, optimizer_state=keep, learning_rate=keep): returns to the state
3      12    end
OptimizerReset(what=all): every 3st
"""


def test_the_timeline_shows_levels_a_rewind_and_what_recurs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deficits = [
        {"class_path": "datamodules.Blur", "init_args": {"levels": {"0ep": 4, "6st": 8}}},
        {"class_path": "datamodules.LabelNoise", "init_args": {"levels": {"2ep": 0.5}}},
    ]
    fragments = [
        {"data": {"init_args": {"deficits": deficits}}},
        one("Rewind", at=["2ep"], to="1ep"),
        one("OptimizerReset", every="3st"),
    ]
    callbacks = [fragment["trainer"]["callbacks+"][0] for fragment in fragments[1:]]
    main(["fit", *tiny(fragments[0], {"trainer": {"callbacks+": callbacks}}), "--print_timeline"])
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown == [line.split() for line in RECURRING.splitlines()]


def test_the_timeline_shows_interventions(capsys: pytest.CaptureFixture[str]) -> None:
    growth = {
        "class_path": "datamodules.UniformGrowth",
        "init_args": {"fractions": [0.5, 1.0], "at": ["1ep"]},
    }
    fragments = [
        {"data": {"init_args": {"growth": growth}}},
        one("ShrinkPerturb", at=["stages"], shrink=0.5),
        one("WeightDecaySchedule", levels={"0ep": 0.001, "4st": 0.0}),
    ]
    main(["fit", *tiny(*fragments), "--print_timeline"])
    assert capsys.readouterr().out == TIMELINE
    assert not Path("runs").exists()
