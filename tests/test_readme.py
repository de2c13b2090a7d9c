"""The README's code does what it says."""

import re
from pathlib import Path
from typing import Any

from tests.runs import REPOSITORY, fit

README = (REPOSITORY / "README.md").read_text()


def block(language: str, part: str) -> str:
    (found,) = [
        one for one in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if part in one
    ]
    return str(found)


def test_a_class_in_the_working_directory_is_found() -> None:
    Path("mine.py").write_text(block("python", "class Dim"))
    Path("mine.yaml").write_text(block("yaml", "mine.Dim"))
    run = fit(
        "--config", "configs/digits.yaml", "--config", "mine.yaml", "--trainer.fast_dev_run", "true"
    )
    assert [type(deficit).__module__ for deficit in run.data.deficits] == ["mine"]


def test_a_run_is_built_and_trained_from_python() -> None:
    code, names = block("python", "import build"), dict[str, Any]()
    exec(code.replace('.yaml"]', '.yaml", "--trainer.fast_dev_run", "true"]'), names)
    assert names["run"].trainer.global_step == 1
