"""How large networks are, and for how many epochs each costs as much as the first.

Run by `python -m plasticity_lab.analysis.flops WHOLE.yaml PRUNED.yaml …`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from callbacks.network import unwrap
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.known_warnings import silence_known_warnings
from plasticity_lab.measurements.flops import count_flops
from plasticity_lab.runs.build import build
from plasticity_lab.runs.parse import parse


class Size(NamedTuple):
    """Size of a network.

    Attributes:
        parameters: numbers that are trained.
        flops: operations of a forward pass of one example, as `count_flops`.
        epochs: of the run.
    """

    parameters: int
    flops: int
    epochs: int


def size_of(file: Path) -> Size:
    """Return the size of the network of a config.

    Args:
        file: a whole config, such as the `config.yaml` of a run.

    Raises:
        UserError: for a config that cannot be built, data whose shape is not known, or a network
            without operations that count.
    """
    run = build(parse(["fit", "--config", str(file)]))
    data: Any = run.data
    if not hasattr(data, "splits"):
        raise UserError(
            file, problem="its data do not say what its inputs are", fix="use ImageDataModule"
        )
    network = unwrap(run.model)
    inputs = torch.zeros(1, *data.splits.train.shape)
    parameters = sum(one.numel() for one in network.parameters() if one.requires_grad)
    operations = count_flops(network, inputs)
    if not operations:
        raise UserError(
            file,
            problem=f"no operation of {type(network).__name__} is counted",
            fix="compare networks of linear layers or convolutions",
        )
    return Size(parameters, operations, run.trainer.max_epochs or 0)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    silence_known_warnings()
    parser = CommandParser(prog="flops", description=__doc__, allow_abbrev=False)
    parser.add_argument("configs", type=Path, nargs="+", help="whole configs, as of runs")
    with errors_in_one_line("flops"):
        files = parser.parse_args(args).configs
        sizes = [size_of(file) for file in files]
    whole = sizes[0]
    print(f"{'parameters':>12}{'FLOPs':>16}{'ratio':>8}{'epochs':>8}")
    for file, size in zip(files, sizes, strict=True):
        ratio = whole.flops / size.flops
        epochs = max(1, whole.epochs * whole.flops // size.flops)
        print(f"{size.parameters:12,}{size.flops:16,}{ratio:8.3f}{epochs:8}  {file}")
    print("epochs: in which each costs as much as the first in its own, at least 1 (Scratch-B)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
