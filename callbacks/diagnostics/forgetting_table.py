"""`forgetting.csv`: a row for each training example."""

from pathlib import Path

import pandas as pd
import torch

from datamodules.datasets.split import Split, SubsetSplit
from plasticity_lab.files import write_atomically
from plasticity_lab.measurements.forgetting_statistics import NEVER, ForgettingStatistics


def forgetting_table(images: Split, counts: ForgettingStatistics) -> pd.DataFrame:
    """Return a row for each example; a cell is empty where there is no such presentation.

    Args:
        images: what was trained on; of a subset the column `index` is the place in the whole split.
        counts: of it.

    Returns:
        columns `index`; `label`, its own; `given_label`, what training was given at the last
        presentation; `wrong_label`, 1 if that was ever not its own; `presentations`;
        `first_learned`; `last_wrong`; `learned`; `events`; `score`, by which the authors sort
        (never-learned examples rank highest); `misclassification_margin`, the mean margin where it
        was forgotten; `aum`; `el2n`; `events_stage0` ….
    """
    state = counts.state_dict()
    columns = {
        "index": images.indices if isinstance(images, SubsetSplit) else torch.arange(len(images)),
        "label": images.targets,
        "given_label": state["given_label"],
        "wrong_label": counts.wrong_label.cpu().long(),
        "presentations": state["presentations"],
        "first_learned": state["first_learned"],
        "last_wrong": state["last_wrong"],
        "learned": counts.learned.cpu(),
        "events": counts.forgotten.cpu(),
        "score": counts.scores.cpu(),
    }
    table = pd.DataFrame({name: column.numpy() for name, column in columns.items()}).astype("Int64")
    table["misclassification_margin"] = counts.misclassification_margins.cpu().numpy().round(6)
    table["aum"] = counts.aum.cpu().numpy().round(6)
    table["el2n"] = counts.el2n.cpu().numpy().round(6)
    for stage, events in enumerate(state["events"].T):
        table[f"events_stage{stage}"] = events.numpy()

    # What has not happened has no number.
    absent = table["presentations"] == 0
    table.loc[absent, ["given_label", "wrong_label", "score"]] = pd.NA
    table.loc[table["first_learned"] == NEVER, "first_learned"] = pd.NA
    table.loc[table["last_wrong"] < 0, "last_wrong"] = pd.NA
    return table


def write_table(path: Path, images: Split, counts: ForgettingStatistics) -> None:
    """Write the table as a CSV file, whole or not at all."""
    with write_atomically(path) as unfinished:
        forgetting_table(images, counts).to_csv(unfinished, index=False)
