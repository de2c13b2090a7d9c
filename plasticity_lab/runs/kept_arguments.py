"""Arguments that a class has kept from another one in its place."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plasticity_lab.runs.config_checks import Given


def kept_arguments(given: Sequence[Given], settings: Any) -> list[str]:
    """Return a line for each argument that was written for another class than the one that has it.

    Where a later file names another class, the parser keeps all arguments whose names it has too:
    the `width: 8` of a ResNet, which are channels, for a ConvN, whose `width` is a factor.

    Args:
        given: the settings that the user wrote, in files and on the command line, in their order.
        settings: all settings, parsed.
    """
    classes: dict[str, str] = {}
    written: dict[tuple[str, str], tuple[str, str]] = {}
    for source, content in given:
        for place, node in _nodes(content, ""):
            classes[place] = node.get("class_path", classes.get(place, ""))
            for name in node.get("init_args") or {}:
                written[place, name] = classes[place], source
    lines = []
    for (place, name), (kind, source) in written.items():
        value = settings.get(f"{place}.init_args.{name}")
        if kind != classes[place] and value is not None:
            kept, other = (path.rpartition(".")[2] for path in (classes[place], kind))
            lines.append(f"{place}: {kept} keeps {name}: {value} of {other} in {source}")
    return lines


def _nodes(content: Mapping[str, Any], place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what names a class or its arguments, with the keys that lead to it."""
    if isinstance(content.get("class_path"), str) or isinstance(content.get("init_args"), dict):
        yield place, dict(content)
    for key, inner in content.items():
        if isinstance(inner, dict):
            yield from _nodes(inner, f"{place}.{key}" if place else key)
