"""What TensorBoard's event files hold."""

from pathlib import Path
from typing import Any, Literal

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def read_events(
    folder: Path, kind: Literal["scalars", "images", "tensors"]
) -> dict[str, list[Any]]:
    """Return all that was logged of a kind, by tag and in the order of steps.

    What was logged after a checkpoint from which the run was resumed counts once, as it was logged
    after the resume.

    Args:
        folder: with event files, which are read in the order of their names.
        kind: of what was logged.

    Returns:
        lists of TensorBoard's events: each has a `step` and, by its kind, a `value`, an
        `encoded_image_string` or a `tensor_proto`.
    """
    # A size of 0 keeps all of them.
    events = EventAccumulator(str(folder), size_guidance={kind: 0}).Reload()
    read = {"scalars": events.Scalars, "images": events.Images, "tensors": events.Tensors}[kind]
    return {tag: list(read(tag)) for tag in events.Tags()[kind]}


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all scalars that were logged: tag to (step, value).

    Args:
        folder: with event files.

    Example:
        ```python
        accuracy = read_scalars(Path("runs/digits/20250102-030405-0a1b2c3d"))["val/accuracy"]
        ```
    """
    events = read_events(folder, "scalars")
    scalars = {}
    for tag, logged in events.items():
        scalars[tag] = [(event.step, event.value) for event in logged]
    return scalars
