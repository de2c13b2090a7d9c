"""What a user did wrong, told in one line."""


class UserError(Exception):
    """A mistake in the input that the user can mend: shown as one line without a traceback, before training starts.

    The message names the key, the value and the way out. (No `ValueError`: the parser would take that for a value of another type.)
    """

    exit_code = 2


class Diverged(RuntimeError):
    """Training stopped because the loss is no longer finite; shown as one line."""

    exit_code = 1
