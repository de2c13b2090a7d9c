"""Errors that Lightning or torch raise before training begins: settings they do not take."""

import re
import traceback

import lightning_fabric
import pytorch_lightning
import torch

from plasticity_lab.errors import UserError

_LIBRARIES = tuple(module.__path__[0] for module in (pytorch_lightning, lightning_fabric, torch))


def is_refusal(error: BaseException) -> bool:
    """Whether an error was raised inside Lightning or torch, without the user's code in between.

    Nor this project's. A traceback would add nothing to the error's own words, since it holds none
    of the user's lines.

    Args:
        error: raised by `Trainer.fit` or the like.
    """
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    in_library = [file.startswith(_LIBRARIES) for file in files]
    return True in in_library and all(in_library[in_library.index(True) :])


def refused(error: BaseException) -> UserError:
    """Return the line for a refusal of Lightning's.

    Args:
        error: raised by `Trainer` or its methods.
    """
    if twice := re.search(r"more than one stateful callback of type `(\w+)`", str(error)):
        return UserError(
            "callbacks",
            value=twice[1],
            problem="two of them would keep their state under one name",
            fix="let them differ in what they monitor, or when, or keep one",
        )
    if isinstance(error, ModuleNotFoundError | RuntimeError | TypeError | ValueError):
        return UserError("trainer", problem=error)
    return UserError("trainer", problem=f"{type(error).__name__}: {error}")
