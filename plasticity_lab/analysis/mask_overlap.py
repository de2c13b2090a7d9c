"""Whether seeds keep the same weights.

Run by `python -m plasticity_lab.analysis.mask_overlap A.ckpt B.ckpt …`.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from torch import Tensor

from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.measurements.sparsity import chance_overlap, mask_overlap, surviving_share


def read_weights(file: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint of two or more dimensions by name.

    Raises:
        UserError: for a missing file, or a network without such weights.
    """
    if not file.is_file():
        raise UserError(file, problem="no such file", fix="name a checkpoint")
    weights = {
        name: value
        for name, value in read_checkpoint(file)["state_dict"].items()
        if name.endswith("weight") and value.ndim > 1
    }
    if not any((weight == 0).any() for weight in weights.values()):
        raise UserError(
            file, problem="nothing of it is pruned", fix="name runs with callbacks.Prune"
        )
    return weights


def _pruned(states: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """Leave out the layers of which nothing is pruned in any checkpoint."""
    names = {name for state in states for name, one in state.items() if (one == 0).any()}
    return [{name: one for name, one in state.items() if name in names} for state in states]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = CommandParser(prog="mask_overlap", description=__doc__, allow_abbrev=False)
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of the same pruned network")
    with errors_in_one_line("mask_overlap"):
        files = parser.parse_args(args).checkpoints
        if len(files) < 2:
            raise UserError("checkpoints", fix="name two or more")
        states = _pruned([read_weights(file) for file in files])
        pairs = list(combinations(range(len(files)), 2))
        try:
            overlaps = [mask_overlap(states[first], states[second]) for first, second in pairs]
        except ValueError as error:
            raise UserError("checkpoints", problem=error, fix="name the same network") from error
        chances = [chance_overlap(states[first], states[second]) for first, second in pairs]
    for file, state in zip(files, states, strict=True):
        print(
            f"{file}: {surviving_share(state):.2%} of the weights survive, "
            "in layers that are pruned"
        )
    print(f"survivors of both over survivors of either, mean over {len(pairs)} pairs:")
    print(f"  measured: {sum(overlaps) / len(pairs):.4f}")
    print(f"  by chance, with as many of each layer: {sum(chances) / len(pairs):.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
