"""What TensorBoard shows of the data."""

from typing import Any

import pytest
import torch

from datamodules import ClassGrowth
from plasticity_lab.runs.data_monitor import as_seen
from plasticity_lab.runs.image_grid import labelled_grid
from tests.runs import fit, logged, pictures, tiny

GROWING: dict[str, Any] = {
    "class_path": "datamodules.ClassGrowth",
    "init_args": {"stages": 2, "uniform_fraction": 0.0, "at": ["1ep"]},
}
BLUR = {"class_path": "datamodules.Blur", "init_args": {"size": 4, "during": ["0ep", "2ep"]}}
CROPS = {"class_path": "datamodules.CropFlip", "init_args": {"padding": 2}}


def run(**arguments: Any) -> Any:
    return fit(*tiny({"data": {"init_args": arguments}}))


def test_a_plain_run_logs_nothing_of_its_data_but_one_picture() -> None:
    directory = run().place.directory
    assert not [tag for tag in logged(directory) if tag.startswith(("data/", "deficits/"))]
    assert [step for step, _ in pictures(directory)["data/as_seen"]] == [0]


def test_whatever_changes_is_logged_and_pictured_when_it_does() -> None:
    twice = {"class_path": "datamodules.Blur", "init_args": {"size": 8, "during": ["7st", "100%"]}}
    finished = run(
        growth=GROWING,
        deficits=[BLUR, twice],
        augmentation={**CROPS, "init_args": {"padding": 2, "during": ["0ep", "1ep"]}},
    )
    values, first = logged(finished.place.directory), len(finished.data.stages.members(0))
    assert values["data/stage"] == [(0, 0), (2, 1), (6, 1), (7, 1)]
    assert values["data/examples"] == [(0, first), (2, 100), (6, 100), (7, 100)]
    assert values["data/augmented"] == [(2, 0), (6, 0), (7, 0)], "from the first change on"
    assert values["deficits/Blur"] == [(0, 1), (2, 1), (6, 0), (7, 1)], "one tag for the class"
    assert [step for step, _ in pictures(finished.place.directory)["data/as_seen"]] == [0, 2, 6, 7]


def test_the_picture_is_what_the_network_sees() -> None:
    finished = run(
        growth=GROWING,
        deficits=[
            BLUR,
            {"class_path": "datamodules.LabelPermutation", "init_args": {"during": ["0ep", "1ep"]}},
        ],
    )
    data = finished.data
    grids = {epoch: as_seen(at(data, epoch)) for epoch in (0, 1, 2)}
    assert len({tuple(grid.flatten().tolist()) for grid in grids.values()}) == 3
    cell = grids[0][:, 4 : 4 + 64, 4 : 4 + 64]
    absent = 0 in {int(label) for label in data.splits.train.targets} - stage_classes(data)
    assert bool((cell == 200).all()) is absent, "an image that is not there yet is grey"
    assert (grids[2] == 200).all(0).float().mean() < 0.01


def at(data: Any, epoch: int) -> Any:
    """Set the run's clock."""
    data.trainer.fit_loop.epoch_progress.current.completed = epoch
    assert data.now.epoch == epoch
    return data


def stage_classes(data: Any) -> set[int]:
    train = data.splits.train
    (first, _) = ClassGrowth(2, 0.0, at=[]).stage_indices(train.targets, 10, 0)
    return set(train.targets[first].tolist())


def test_a_grid_shows_what_can_be_shown_of_other_channels() -> None:
    images = torch.zeros(2, 5, 16, 16, dtype=torch.uint8)
    images[:, 0] = 255
    assert (labelled_grid(images, ["a", "b"])[:, 20, 20] == torch.tensor([255, 0, 0])).all()
    assert (labelled_grid(images[:, :2], ["a", "b"])[:, 20, 20] == 255).all()


def test_a_grid_holds_every_image_and_caption() -> None:
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 16, 16) * 20
    grid = labelled_grid(images, ["a"] * 9 + ["a very long name of a class"], columns=4)
    assert tuple(grid.shape) == (3, 3 * (64 + 14 + 4) + 4, 4 * (64 + 4) + 4)
    for place in range(10):
        top, left = 4 + place // 4 * 82, 4 + place % 4 * 68
        assert (grid[:, top : top + 64, left : left + 64] == place * 20).all()
        assert (grid[:, top + 64 : top + 78, left : left + 64] < 128).any(), "a caption"
    assert (grid[:, 4 + 2 * 82 + 64 :, 4 + 2 * 68 :] == 255).all(), "cut to its image's width"


@pytest.mark.slow
def test_the_first_ten_of_many_stages_have_a_picture_each() -> None:
    """What changes besides, such as a deficit, is still shown."""
    stream = {
        "trainer": {"max_epochs": 16},
        "data": {
            "init_args": {
                "batch_size": 100,
                "growth": {"class_path": "datamodules.TaskStream", "init_args": {"every": "1ep"}},
                "stage_transforms": [{"class_path": "datamodules.PixelPermutation"}],
                "deficits": [
                    {
                        "class_path": "datamodules.Blur",
                        "init_args": {"size": 4, "during": ["13ep", "14ep"]},
                    }
                ],
            }
        },
    }
    finished = fit(*tiny(stream))
    steps = [step for step, _ in pictures(finished.place.directory)["data/as_seen"]]
    assert steps == [*range(11), 13, 14]
