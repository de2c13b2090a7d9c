"""What all commands have in common: options that are not a config, names, errors in one line.

Nothing here imports torch or Lightning, so that commands which do not train start at once.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from plasticity_lab.errors import Diverged, UserError

INSTALLED = "plasticity-lab"
"""The installed command: `train.py` and, by its subcommands, `study.py` and `measure.py`."""


class CommandParser(argparse.ArgumentParser):
    """A parser of a few options that raises what is wrong with a command line."""

    def error(self, message: str) -> NoReturn:
        """Raise the message instead of printing usage and exiting."""
        raise UserError(message)


def program(script: str) -> str:
    """Return the name by which usage and errors call this program.

    Args:
        script: the file of a checkout that does the same: `train.py`, `study.py` or `measure.py`.
    """
    if not _is_installed_command():
        return script
    return INSTALLED if script == "train.py" else f"{INSTALLED} {Path(script).stem}"


def called(script: str) -> str:
    """Return the beginning of a command line that calls this program as it was called now.

    Args:
        script: as `program`.
    """
    if _is_installed_command():
        return program(script)
    path = Path(sys.argv[0])
    return f"python {path if path.name == script else script}"


def _is_installed_command() -> bool:
    return Path(sys.argv[0]).stem == INSTALLED


@contextmanager
def errors_in_one_line(program: str) -> Iterator[None]:
    """Show a user's mistake, and other ends that need no traceback, in one line, and exit.

    Args:
        program: whose name the line begins with.

    Raises:
        SystemExit: with code 2 for a mistake, 1 for a run that failed, 130 for Ctrl-C.
    """
    code, line = 2, ""
    try:
        yield
        return
    except (UserError, Diverged) as error:
        code, line = error.exit_code, str(error)
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    except RuntimeError as error:
        if "Connection closed by peer" in str(error):
            # Another rank has stopped, and prints why.
            code = 1
        elif "Early stopping conditioned on metric" in str(error):
            line = f"EarlyStopping: {error}"
        else:
            raise
    except Exception as error:
        if not is_mistake(error):
            raise
        line = str(error)
    if line:
        print(f"{program}: error: {' '.join(line.split())}", file=sys.stderr)
    raise SystemExit(code)


def is_mistake(error: BaseException) -> bool:
    """Whether an error is what Lightning raises for a mistake in a config."""
    module = sys.modules.get("lightning_fabric.utilities.exceptions")
    return module is not None and isinstance(error, module.MisconfigurationException)
