"""Arguments written for another class."""

import pytest

from plasticity_lab.runs.kept_arguments import kept_arguments
from plasticity_lab.runs.parse import parse
from tests.runs import fit, tiny

OPTIMIZER = "model.init_args.optimizer"
ADAM = {"model": {"init_args": {"optimizer": {"class_path": "torch.optim.Adam"}}}}


def kept(*arguments: str) -> list[str]:
    config = parse(["fit", *arguments])
    return kept_arguments(config.given, config.settings)


def test_what_another_class_keeps_is_named_with_its_source() -> None:
    assert kept(*tiny()) == []
    assert kept(*tiny(ADAM)) == [
        f"{OPTIMIZER}: Adam keeps lr: 0.1 of SGD in tiny0.yaml",
        f"{OPTIMIZER}: Adam keeps weight_decay: 0.001 of SGD in tiny0.yaml",
    ], "momentum is not Adam's"


def test_what_is_written_again_is_its_own() -> None:
    own = ("--model.init_args.optimizer.init_args.lr", "0.01")
    assert kept(*tiny(ADAM), *own) == [
        f"{OPTIMIZER}: Adam keeps weight_decay: 0.001 of SGD in tiny0.yaml"
    ]
    back = {"model": {"init_args": {"optimizer": {"class_path": "torch.optim.SGD"}}}}
    assert kept(*tiny(ADAM, back)) == []


def test_a_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    fit(*tiny(ADAM), "--print_timeline")
    assert f"{OPTIMIZER}: Adam keeps lr: 0.1 of SGD in tiny0.yaml\n" in capsys.readouterr().out
