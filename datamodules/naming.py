"""How things that change over time are named."""

import inspect

TIMES = ("at", "during", "until", "levels", "every")


class Named:
    """Shown by its class and the arguments that are set, times apart: `Blur(size=4)`."""

    def __repr__(self) -> str:
        """Name it."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name not in TIMES]
        given = {name: vars(self)[name] for name in names if vars(self).get(name) is not None}
        arguments = ", ".join(f"{name}={value}" for name, value in given.items())
        return type(self).__name__ + f"({arguments})" * bool(arguments)
