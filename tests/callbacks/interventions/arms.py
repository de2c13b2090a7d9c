"""Short runs with interventions."""

from typing import Any

from tests.runs import fit, tiny


def one(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"callbacks.{name}", "init_args": arguments}


def run(*interventions: dict[str, Any], model: dict[str, Any] | None = None, **data: Any) -> Any:
    fragment = {"trainer": {"callbacks+": list(interventions)}, "data": {"init_args": data}, "model": {"init_args": model or {}}}
    return fit(*tiny(fragment))


FROZEN = one("LearningRateFactor", levels={"11st": 0.0})
"""Holds the weights still in the last of 12 steps."""
