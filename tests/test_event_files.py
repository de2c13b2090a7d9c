"""Event files are read whole, and what a resume has trained again counts once."""

from pathlib import Path

import torch
from torch.utils.tensorboard import SummaryWriter

from plasticity_lab.runs.event_files import read_events, read_scalars

FOLDER = Path("logs")


def test_nothing_is_left_out() -> None:
    """By itself TensorBoard keeps 10,000 scalars, 4 images and 10 tensors of a tag."""
    with SummaryWriter(str(FOLDER)) as writer:
        for step in range(10_001):
            writer.add_scalar("loss", step / 4, step)
        for step in range(5):
            writer.add_image("examples", torch.zeros(3, 2, 2), step)
        for step in range(11):
            writer.add_text("note", "text", step)
    assert read_scalars(FOLDER) == {"loss": [(step, step / 4) for step in range(10_001)]}
    assert [event.step for event in read_events(FOLDER, "images")["examples"]] == [*range(5)]
    assert len(read_events(FOLDER, "tensors")["note/text_summary"]) == 11


def test_a_resume_takes_the_place_of_what_was_logged_after_its_checkpoint() -> None:
    for value, steps, purge in ((1.0, range(4), None), (2.0, range(2, 5), 2)):
        with SummaryWriter(str(FOLDER), purge_step=purge) as writer:
            for step in steps:
                writer.add_scalar("loss", value, step)
    assert read_scalars(FOLDER)["loss"] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 2.0)]


def test_of_no_files_there_is_nothing() -> None:
    FOLDER.mkdir()
    assert read_scalars(FOLDER) == {}
