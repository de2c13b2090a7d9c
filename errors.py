"""What a user did wrong, told in one line, and other ways in which a run ends early."""

import signal


class UserError(Exception):
    """A mistake in the input that the user can mend: shown as one line without a traceback, before training starts.

    The message names the key, the value and the way out. (No `ValueError`: the parser would take that for a value of another type.)
    """

    exit_code = 2


class SessionEnd(Exception):
    """Training stops before the run is over, in a state from which it resumes exactly.

    Args:
        cause: the signal that asked for it; None if the session's time is over.
    """

    def __init__(self, cause: signal.Signals | None) -> None:
        super().__init__(cause)
        self.cause = cause


class Diverged(RuntimeError):
    """Training stopped because the loss is no longer finite; shown as one line."""

    exit_code = 1
