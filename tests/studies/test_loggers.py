"""Finished runs of a study in any logger of Lightning."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pytorch_lightning.loggers import CSVLogger, Logger

from plasticity_lab.errors import UserError
from plasticity_lab.studies import local_engine
from plasticity_lab.studies.commands import is_complete, run
from plasticity_lab.studies.loggers import log
from plasticity_lab.studies.scalars import read_all
from tests.studies.small import ARMS, small

CSV = "pytorch_lightning.loggers.CSVLogger"


class Full(Logger):
    """A logger whose server takes nothing as long as there is a file `full`."""

    @property
    def name(self) -> str:
        return "full"

    @property
    def version(self) -> str:
        return "1"

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        if Path("full").exists():
            raise ConnectionError("the server is full")

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        pass


def node(**arguments: Any) -> dict[str, Any]:
    return {"class_path": CSV, "init_args": {"save_dir": "csv", **arguments}}


def logged(file: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what a CSVLogger has written, by tag."""
    frame = pd.read_csv(file)
    return {
        tag: [
            (int(step), float(value))
            for step, value in zip(frame["step"], frame[tag], strict=True)
            if pd.notna(value)
        ]
        for tag in frame.columns
        if tag != "step"
    }


def test_a_logger_gets_every_value_at_its_step(tmp_path: Path) -> None:
    scalars = {"val/loss": [(0, 1.0), (2, 0.5)], "train/loss": [(2, 1 / 3)]}
    logger = CSVLogger(tmp_path, name="a", version="b")
    log(logger, scalars, {"trainer": {"max_epochs": 3, "callbacks": [{"class_path": "x"}]}})
    assert logged(tmp_path / "a/b/metrics.csv") == scalars
    hyperparameters = (tmp_path / "a/b/hparams.yaml").read_text()
    assert "trainer.max_epochs: 3" in hyperparameters


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        (
            {"class_path": "no.Logger"},
            r"trainer.logger: .*No module named .no.; set the",
        ),
        (node(directory="x"), r"trainer.logger: .*directory"),
        ({"class_path": "callbacks.LayerReset"}, r"trainer.logger: .*LayerReset"),
    ],
)
def test_what_is_no_logger_is_refused(logger: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small({"plain": {}}, seeds=1, set={"trainer.logger": [logger]})


def test_loggers_are_no_part_of_a_run() -> None:
    """All seeds are one arm still, though each is logged by its name."""
    plain = small({"plain": {}})
    assert plain.opened.loggers == [[], []]
    named = small({"plain": {}}, set={"trainer.logger": [node(name="{arm}", version="s{seed}")]})
    assert named.paths == plain.paths
    assert named.opened.arms == plain.opened.arms
    versions = [nodes[0]["init_args"]["version"] for nodes in named.opened.loggers]
    assert versions == ["s0", "s1"]


@pytest.mark.slow
def test_runs_reach_the_loggers_of_their_study(capsys: pytest.CaptureFixture[str]) -> None:
    full = {"class_path": "tests.studies.test_loggers.Full"}
    loggers = {"trainer.logger": [node(name="{arm}", version="{seed}"), full]}
    Path("full").touch()
    arms = {"plain": {}, "shrunk": ARMS["shrunk by half"]}
    work = small(arms, seeds=1, set=loggers)
    assert not run(work, 1, local_engine.run)
    assert "plain,seed=0 is not sent to its loggers: ConnectionError: the server is full" in (
        capsys.readouterr().out
    )
    assert not is_complete(work)

    Path("full").unlink()
    assert not run(work, 1, local_engine.run)
    assert "warning" not in capsys.readouterr().out
    assert is_complete(work)
    for number, arm in enumerate(arms):
        scalars = read_all(work.folder(number))
        assert {tag for tag in scalars if tag.startswith("test/")}
        assert logged(Path("csv") / arm / "version_0/metrics.csv") == scalars
