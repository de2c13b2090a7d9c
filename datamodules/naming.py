"""How things that change over time are named."""


class Named:
    """Shown by its class and the arguments that are set, times apart: `Blur(size=4)`."""

    def __repr__(self) -> str:
        """Name it."""
        times = ("at", "during", "until", "levels", "every")
        own = {name: value for name, value in vars(self).items() if name not in times and name[0] != "_"}
        given = {name: value for name, value in own.items() if value is not None and not callable(value)}  # Lightning adds `log`
        arguments = ", ".join(f"{name}={value}" for name, value in given.items())
        return type(self).__name__ + f"({arguments})" * bool(arguments)
