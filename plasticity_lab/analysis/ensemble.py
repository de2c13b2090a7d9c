"""How well the mean of several networks does, beside each of them.

Run by `python -m plasticity_lab.analysis.ensemble A.ckpt B.ckpt …`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from datamodules import ImageDataModule
from lightning_modules import Objective, Supervised
from plasticity_lab.analysis.finished_run import batches_of_test_split, build_run
from plasticity_lab.checkpoint_files import check_network
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.known_warnings import silence_known_warnings


class Scores(NamedTuple):
    """Metrics of one network, or of a mean, on the test split.

    Attributes:
        name: of the checkpoint, or of the mean.
        loss: mean loss.
        metrics: the objective's, by name.
    """

    name: str
    loss: float
    metrics: dict[str, float]


def ensemble(checkpoints: Sequence[Path]) -> list[Scores]:
    """Return how well each network does, and the mean of their outputs, on the test split.

    Lee et al. 2020, https://arxiv.org/abs/2007.15801: the mean of networks with other initial
    values, centred (`CentredNetwork`), is closer to the kernels. Logits, not probabilities, are
    averaged.

    Args:
        checkpoints: in the directories of their runs, which have the test split of the first one.

    Raises:
        UserError: for fewer than two, runs of other kinds or with other objectives, or with another
            test split.
    """
    if len(checkpoints) < 2:
        raise UserError("checkpoints", fix="name two or more")
    evaluated = [_evaluate(file) for file in checkpoints]
    first = evaluated[0]
    for file, other in zip(checkpoints, evaluated, strict=True):
        if other.stage != first.stage or not other.targets.equal(first.targets):
            raise UserError(
                file,
                problem="has another test split than the first",
                fix="name runs on the same data, at the same data stage",
            )
        same_kind = type(other.objective) is type(first.objective)
        if not same_kind or vars(other.objective) != vars(first.objective):
            raise UserError(
                file, problem="has another objective than the first", fix="name runs of one kind"
            )
    named = [(str(file), one.outputs) for file, one in zip(checkpoints, evaluated, strict=True)]
    named.append(("the mean", torch.stack([one.outputs for one in evaluated]).mean(0)))
    return [_scores(name, first.objective, outputs, first.targets) for name, outputs in named]


class _Evaluated(NamedTuple):
    """What a network gives for the test split, at the data stage that it was trained on last."""

    objective: Objective
    stage: int
    outputs: Tensor
    targets: Tensor


@torch.no_grad()
def _evaluate(checkpoint: Path) -> _Evaluated:
    run, state = build_run(checkpoint)
    data: Any = run.data
    if not isinstance(run.model, Supervised) or not isinstance(data, ImageDataModule):
        raise UserError(
            checkpoint,
            problem="is not of Supervised on ImageDataModule",
            fix="name runs of these",
        )
    check_network(state, run.model.state_dict(), checkpoint)
    run.model.load_state_dict(state["state_dict"])

    model = run.model.to(data.device).eval()
    rows = [(model(inputs).cpu(), targets.cpu()) for inputs, targets in batches_of_test_split(data)]
    outputs, targets = (torch.cat(part) for part in zip(*rows, strict=True))
    stage = data.shown_stage if data.differs_by_stage else 0
    return _Evaluated(run.model.objective, stage, outputs, targets)


def _scores(name: str, objective: Any, outputs: Tensor, targets: Tensor) -> Scores:
    metrics: dict[str, Metric] = dict(objective.metrics())
    for metric in metrics.values():
        metric.update(outputs, targets)
    values = {key: float(metric.compute()) for key, metric in metrics.items()}
    return Scores(name, float(objective.mean_loss(outputs, targets)), values)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    parser = CommandParser(prog="ensemble", description=__doc__, allow_abbrev=False)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of runs on the same data")
    with errors_in_one_line("ensemble"):
        scores = ensemble(parser.parse_args(args).checkpoints)
    print("".join(f"{name:>10}" for name in ("loss", *scores[0].metrics)))
    for score in scores:
        values = (score.loss, *score.metrics.values())
        print("".join(f"{value:10.4f}" for value in values), f" {score.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
