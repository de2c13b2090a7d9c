"""A user's mistakes, each reported in one line, and other ways in which a run ends early."""

import signal


class NOTHING:
    """Stands for a value that there is none of; null is a value."""


class UserError(Exception):
    """A mistake in the input that the user can fix, shown as one line before training starts.

    The line is `key: value: problem; fix`, without parts that are empty. (It is no `ValueError`:
    the parser would take that for a value of another type.)

    Args:
        key: what is wrong, as the user wrote it: a key of the config, a file, a class.
        value: its value.
        problem: what is wrong with it; empty where the fix says it all.
        fix: what to do instead, as an imperative.

    Example:
        ```python
        raise UserError("batch_size", value=0, fix="set 1 or more")  # batch_size: 0: set 1 or more
        ```
    """

    exit_code = 2

    def __init__(
        self, key: object, value: object = NOTHING, problem: object = "", fix: object = ""
    ) -> None:
        self.key = str(key)
        self.value = NOTHING if value is NOTHING else str(value)
        self.problem = str(problem)
        self.fix = str(fix)
        # Texts, so that it can come from another process.
        super().__init__(self.key, self.value, self.problem, self.fix)

    def __str__(self) -> str:
        """Return the line."""
        value = "" if self.value is NOTHING else str(self.value)
        line = ": ".join(part for part in (self.key, value, self.problem) if part)
        if not self.fix:
            return line
        separator = "; " if self.problem or not line else ": "
        return f"{line}{separator}{self.fix}"

    def within(self, *keys: object) -> "UserError":
        """Return the same mistake below other keys, the outermost first."""
        return UserError(": ".join(map(str, (*keys, self.key))), self.value, self.problem, self.fix)


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
