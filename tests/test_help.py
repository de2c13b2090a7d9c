"""What the command line says of itself, by whichever name it is called."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from plasticity_lab.main import main
from plasticity_lab.runs.main import main as train
from plasticity_lab.runs.parse import command_line
from plasticity_lab.studies.main import main as study
from tests.runs import REPOSITORY

OutputOf = Callable[..., str]


@pytest.fixture
def output_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[OutputOf]:
    """Run a command line, program first; return all that it prints."""
    monkeypatch.setenv("COLUMNS", "200")
    # A command ends with its process, in which signals stay as it has set them.
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(program: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        # Built once for each process, which has one name.
        command_line.cache_clear()
        call: Callable[[], object] = {"train.py": train, "study.py": study}.get(
            Path(program).name, main
        )
        with pytest.raises(SystemExit):
            call()
        printed = capsys.readouterr()
        return printed.out + printed.err

    yield run
    command_line.cache_clear()


INSTALLED = "/usr/bin/plasticity-lab"


def test_the_installed_command_speaks_of_itself(output_of: OutputOf) -> None:
    text = output_of(INSTALLED, "--help")
    assert text.startswith(
        "usage: plasticity-lab [-c CONFIG] {fit,validate,test,predict,study,measure} ...\n"
    )
    assert "\n  plasticity-lab fit --config configs/digits.yaml\n" in text
    assert (
        "\n  study     train a figure's worth of such runs from one file, see "
        "`plasticity-lab study --help`\n"
    ) in text
    assert ".py" not in text


def test_its_studies_do_so_too(output_of: OutputOf) -> None:
    text = output_of(INSTALLED, "study", "--help")
    assert text.startswith("usage: plasticity-lab study [-h] COMMAND ...\n")
    assert "\n  plasticity-lab study plan configs/studies/digits_blur_removal.yaml\n" in text
    assert ".py" not in text


def test_its_commands_are_called_as_it_is(output_of: OutputOf) -> None:
    assert output_of(INSTALLED, "fit", "--help").startswith("usage: plasticity-lab ")
    assert output_of(INSTALLED, "study", "run", "--help").startswith(
        "usage: plasticity-lab study run [-h] "
    )


@pytest.mark.parametrize("script", ["train.py", "study.py"])
def test_a_checkout_speaks_of_its_scripts(script: str, output_of: OutputOf) -> None:
    file = str(REPOSITORY / script)
    text = output_of(file, "--help")
    assert text.startswith(f"usage: {script} ")
    assert f"\n  python {file} " in text
    assert "plasticity-lab" not in text.replace(file, "")


def test_a_mistake_begins_with_the_name_that_was_called(output_of: OutputOf) -> None:
    wrong = "error: report: no run of digits-blur-removal is done; train some: "
    file = REPOSITORY / "configs/studies/digits_blur_removal.yaml"
    assert (
        output_of(INSTALLED, "study", "report", str(file))
        == f"plasticity-lab study: {wrong}plasticity-lab study run {file}\n"
    )
    script = REPOSITORY / "study.py"
    assert (
        output_of(str(script), "report", str(file))
        == f"study.py: {wrong}python {script} run {file}\n"
    )
    assert (
        output_of(INSTALLED, "fit", "--nothing")
        == "plasticity-lab: error: unrecognized arguments: --nothing\n"
    )


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
@pytest.mark.parametrize("arguments", [[], ["--config", "configs/digits.yaml"]])
def test_the_config_is_printed_and_nothing_else_happens(
    output_of: OutputOf, command: str, arguments: list[str]
) -> None:
    text = output_of("train.py", command, *arguments, "--print_config")
    printed = yaml.safe_load(text)
    assert {"trainer", "model", "data", "seed_everything"} <= {*printed}
    assert bool(printed["model"]) == bool(arguments)
    assert not Path("runs").exists()
