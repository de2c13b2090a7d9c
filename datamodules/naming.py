"""How things that change over time are named."""


class Named:
    """Shown by its class and the arguments that are set, times apart: `Blur(size=4)`."""

    def __repr__(self) -> str:
        """Name it."""
        given = {name: value for name, value in vars(self).items() if name not in ("at", "during", "until") and value is not None}
        arguments = ", ".join(f"{name}={value}" for name, value in given.items())
        return type(self).__name__ + f"({arguments})" * bool(arguments)
