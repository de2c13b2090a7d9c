"""What is wrong with an arm of a study, found before anything is trained."""

import io
import json
import logging
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml

from errors import UserError
from run_directory import Place
from studies.grid import SEED
from studies.work import Work
from train import CLI, main


def check_arms(work: Work) -> None:
    """Build one run of each arm that is not done, and ask of it all that train.py asks before it trains.

    Raises:
        UserError: with the name of the run, and the line that train.py would end with.
    """
    arms: dict[str, int] = {}
    for number in range(len(work.study.runs)):
        if work.finished(number):
            continue
        arms.setdefault(json.dumps({**work.configs[number], SEED: None}, default=str), number)
    for number in arms.values():
        build(work, number)


def build(work: Work, number: int) -> CLI:
    """Build a run of a study, and ask of it all that train.py asks before it trains; nothing stays on disk.

    Raises:
        UserError: with the name of the run, and the line that train.py would end with.
    """
    heard = io.StringIO()
    logging.disable(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stderr(heard), redirect_stdout(io.StringIO()):
            return _build(work, number, Path(folder))
    except SystemExit:
        line = heard.getvalue().strip().splitlines()[-1].partition("error: ")[2]
        raise UserError(f"{work.study.runs[number].name}: {line}") from None
    finally:
        logging.disable(logging.NOTSET)


def _build(work: Work, number: int, folder: Path) -> CLI:
    class Check(CLI):
        """The run, built and checked."""

        def before_instantiate_classes(self) -> None:
            self.config_text, self.place = "", Place(folder, None, None)

        def _run_subcommand(self, subcommand: str) -> None:
            self.before_fit()

    file = folder / "run.yaml"
    file.write_text(yaml.safe_dump(work.configs[number], sort_keys=False))
    return main(["fit", "--config", str(file)], Check)
