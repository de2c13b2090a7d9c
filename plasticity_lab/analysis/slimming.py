"""How many channels of each layer network slimming keeps.

Run by `python -m plasticity_lab.analysis.slimming RUN/checkpoints/last.ckpt --share 0.7`.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from plasticity_lab.checkpoint_files import read_checkpoint
from plasticity_lab.command_line import CommandParser, errors_in_one_line
from plasticity_lab.errors import UserError
from plasticity_lab.surgery.filter_pruning import slimmed_channels

_RUNNING = ".running_var"


def read_gains(file: Path) -> dict[str, Tensor]:
    """Return the gains of the batch-norm layers of a checkpoint by the layers' names, in order.

    Raises:
        UserError: for a missing file, or a network without them.
    """
    state = read_checkpoint(file)["state_dict"]
    names = [name.removesuffix(_RUNNING) for name in state if name.endswith(_RUNNING)]
    gains = {
        name.removeprefix("network."): state[f"{name}.weight"]
        for name in names
        if f"{name}.weight" in state
    }
    if not gains:
        raise UserError(file, problem="holds no batch norm with gains", fix="name another network")
    return gains


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; a user's mistake ends in one line and exit code 2."""
    parser = CommandParser(prog="slimming", description=__doc__, allow_abbrev=False)
    parser.add_argument("checkpoint", type=Path, help="of a network with batch norm")
    parser.add_argument("--share", type=float, default=0.7, help="of all channels, that goes")
    with errors_in_one_line("slimming"):
        options = parser.parse_args(args)
        gains = read_gains(options.checkpoint)
        channels = slimmed_channels(gains, options.share)
    for name, count in channels.items():
        smallest = float(torch.as_tensor(gains[name]).abs().min())
        print(f"{count:6} of {len(gains[name]):5}  {name}  (smallest gain {smallest:.2g})")
    print(f"channels, with width 1: [{', '.join(map(str, channels.values()))}]")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
