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
from lightning_modules import Supervised
from plasticity_lab.analysis.finished_run import batches_of_test_split, build_run
from plasticity_lab.checkpoint_files import check_network, read_checkpoint
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.runs.run import Run


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
        UserError: for fewer than two, runs of other kinds, or with another test split.
    """
    if len(checkpoints) < 2:
        raise UserError("checkpoints", fix="name two or more")
    outputs, names = [], []
    targets: Tensor | None = None
    for file in checkpoints:
        run = _built(file)
        found, own_targets = _outputs(run)
        if targets is not None and not own_targets.equal(targets):
            raise UserError(
                file,
                problem="has another test split than the first",
                fix="name runs on the same data",
            )
        targets = own_targets
        objective = run.model.objective
        outputs.append(found)
        names.append(str(file))
    assert targets is not None
    means = [*zip(names, outputs, strict=True), ("the mean", torch.stack(outputs).mean(0))]
    return [_scores(name, objective, values, targets) for name, values in means]


def _built(checkpoint: Path) -> Run:
    """Return the run of a checkpoint with its weights."""
    run = build_run(checkpoint)
    if not isinstance(run.model, Supervised) or not isinstance(run.data, ImageDataModule):
        raise UserError(
            checkpoint,
            problem="is not of Supervised on ImageDataModule",
            fix="name runs of these",
        )
    state = read_checkpoint(checkpoint)
    check_network(state, run.model.state_dict(), checkpoint)
    run.model.load_state_dict(state["state_dict"])
    return run


@torch.no_grad()
def _outputs(run: Run) -> tuple[Tensor, Tensor]:
    """Return outputs and targets of the whole test split, on the CPU."""
    data: Any = run.data
    model: Any = run.model.to(data.device).eval()
    rows = [(model(inputs).cpu(), targets.cpu()) for inputs, targets in batches_of_test_split(data)]
    return torch.cat([row for row, _ in rows]), torch.cat([one for _, one in rows])


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
