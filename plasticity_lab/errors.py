"""What a user did wrong, told in one line, and other ways in which a run ends early."""

import signal


class NOTHING:
    """Stands for a value that there is none of; null is a value."""


class UserError(Exception):
    """A mistake in the input that the user can mend: shown as one line without a traceback, before training starts.

    The line is `key: value: problem; fix`, without what is left out. (No `ValueError`: the parser
    would take that for a value of another type.)

    Args:
        key: what is wrong, as the user wrote it: a key of the config, a file, a class.
        value: what stands there.
        problem: what is wrong with it; where the fix says it all, nothing.
        fix: what to do.
    """

    exit_code = 2

    def __init__(
        self, key: object, value: object = NOTHING, problem: object = "", fix: object = ""
    ) -> None:
        self.key, self.value, self.problem, self.fix = str(key), value, str(problem), str(fix)
        super().__init__(key, value, problem, fix)

    def __str__(self) -> str:
        """Return the line."""
        value = "" if self.value is NOTHING else str(self.value)
        parts = [part for part in (self.key, value, self.problem) if part]
        return f"{': '.join(parts)}{('; ' if self.problem or not parts else ': ') if self.fix else ''}{self.fix}"

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
