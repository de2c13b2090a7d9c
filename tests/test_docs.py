"""The pages say what the code does: every block of YAML and Python and every command is tried."""

import importlib
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

import callbacks
import datamodules
from datamodules import Augmentation, DataStages, Deficit, ExampleDataset, StageTransform
from lightning_modules import networks, optimizers
from plasticity_lab import measurements, surgery
from plasticity_lab.analysis.measure import measure
from plasticity_lab.project import find_own_classes
from plasticity_lab.runs.parse import parse
from plasticity_lab.studies.claims import read_claims
from plasticity_lab.studies.classes import why_not_shareable
from plasticity_lab.studies.main import parser as study_parser
from plasticity_lab.studies.study_file import read_study
from tests.registry import DATASETS, DIAGNOSTICS, NETWORKS, NOT_SWITCHED, REGISTRY
from tests.runs import REPOSITORY, fit, logged

DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.rglob("*.md"))]
BY_NAME = {page.relative_to(REPOSITORY).as_posix(): page for page in PAGES}
BASE = ["--config", "configs/digits.yaml"]
SMALL = [
    *("--trainer.max_epochs", "12"),
    *("--data.init_args.dataset.init_args.subset", "100"),
    *("--trainer.accelerator", "cpu"),
    *("--trainer.enable_progress_bar", "false"),
    *("--trainer.limit_val_batches", "1"),
    *("--trainer.limit_test_batches", "1"),
]
"""Twelve epochs of one batch."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page, language and text."""
    return re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def with_block(*languages: str) -> list[str]:
    """Return the names of the pages that have a block of one of some languages."""
    return [
        name
        for name, page in BY_NAME.items()
        if any(language in languages for language, _ in blocks(page))
    ]


def file_name(text: str) -> str | None:
    """Return the name of the file that a block is, by its first line."""
    match = re.match(r"# (\w+\.(?:py|yaml))\n", text)
    return match[1] if match else None


def prepare(page: Path) -> None:
    """Write the files of a page, and of the README before, into the working directory."""
    Path("configs").symlink_to(REPOSITORY / "configs")
    for _, text in [*blocks(PAGES[0]), *blocks(page)]:
        if name := file_name(text):
            Path(name).write_text(text)
    find_own_classes()
    # Each page has a module of this name.
    for module in ("mine", "shared"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("name", with_block("yaml"))
def test_yaml_is_a_config_or_a_study(name: str) -> None:
    prepare(BY_NAME[name])
    for language, text in blocks(BY_NAME[name]):
        if language != "yaml":
            continue
        file = Path(file_name(text) or "block.yaml")
        file.write_text(text)
        if "name" in yaml.safe_load(text):
            study = read_study(file)
            assert study.runs
            claims = read_claims(study.claims, study.report["metric"], study.report["over"])
            assert len(claims) == len(study.claims)
        else:
            assert parse(["fit", *BASE, "--config", str(file)]).given


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.parametrize("name", with_block("python"))
def test_python_runs(name: str) -> None:
    prepare(BY_NAME[name])
    for language, text in blocks(BY_NAME[name]):
        if language == "python" and (module := file_name(text)):
            importlib.import_module(module.removesuffix(".py"))
        elif language == "python":
            exec(text, {"__name__": "block"})


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands of a page, those of its blocks and those in its sentences and tables."""
    scripts = [text for language, text in blocks(page) if language == "sh"]
    lines = [line for text in scripts for line in text.replace("\\\n", " ").splitlines()]
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`((?:python|pip|plasticity-lab|…) [^`]+)`", text)
    for line in [*lines, *inline]:
        full_line = line.replace("… --", "python train.py fit --config FILE --").removesuffix("…")
        for command in full_line.split("&&"):
            words = shlex.split(command)
            yield [re.sub(r"^(FILE|MINE|RUN/config\.yaml)$", BASE[1], word) for word in words]


STUDY = "configs/studies/digits_blur_removal.yaml"


def try_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Parse a command line, as far as that goes without a run."""
    match words:
        case ["pip", "install", "-e", place]:
            extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
            named = re.findall(r"\[(\w+)\]", place)
            assert {*named} <= {*extras["optional-dependencies"]}
        case ["pytest" | "tensorboard" | "mkdocs", *_]:
            pass
        case ["python", "train.py", command, *rest]:
            assert parse([command, *(rest or BASE)])
        case ["python", "study.py", *rest] | ["plasticity-lab", "study", *rest]:
            parsed = study_parser().parse_args(
                [STUDY if word == "STUDY" else word for word in rest]
            )
            assert all(any(REPOSITORY.glob(str(file))) for file in parsed.study)
        case ["python", "measure.py", checkpoint, *rest]:
            assert checkpoint.endswith(".ckpt")
            assert parse(["fit", *BASE, *rest])
        case ["plasticity-lab", "measure"]:
            pass
        case ["plasticity-lab", command, *rest]:
            assert parse([command, *(rest or BASE)])
        case ["python", "-m", module, *rest]:
            with suppress(SystemExit):
                importlib.import_module(module).main(rest)
            assert "usage:" not in capsys.readouterr().err
        case ["python", script, *rest]:
            text = (REPOSITORY / script).read_text()
            options = [word for word in rest if word.startswith("--")]
            assert all(option in text for option in options) or "parse_known_args" in text
        case _:
            raise AssertionError(f"nothing tries {shlex.join(words)}")


@pytest.mark.parametrize("name", [name for name in BY_NAME if list(commands(BY_NAME[name]))])
def test_commands_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(BY_NAME[name])
    for words in commands(BY_NAME[name]):
        try_command(words, capsys)


ACTS = {
    "network": "interventions/LayerReset",
    "data_set": "val/accuracy",
    "deficit": "deficits/SaltAndPepper",
    "growth": "data/stage",
    "augmentation": "data/augmented",
    "objective": "diagnostics/fisher/trace",
    "training_rule": "val/accuracy",
    "one_shot": "interventions/NormClip",
    "level": "interventions/Momentum",
    "diagnostic": "diagnostics/confidence_noisy",
    "own_project": "deficits/Dim",
}
"""Recipes with a `mine.yaml`, and a tag that shows that their class acts."""


def test_every_recipe_with_a_config_is_run() -> None:
    pages = {name for name in with_block("yaml") if name.startswith("docs/recipes/")}
    assert pages == {f"docs/recipes/{name}.md" for name in ACTS}


@pytest.mark.slow
@pytest.mark.parametrize("name", ACTS)
def test_a_recipe_acts(name: str) -> None:
    prepare(DOCS / "recipes" / f"{name}.md")
    run = fit(*BASE, "--config", "mine.yaml", *SMALL)
    assert ACTS[name] in logged(run.place.directory)
    if name == "diagnostic":
        last = run.place.directory / "checkpoints" / "last.ckpt"
        assert ACTS[name] in measure(last, ["--config", "mine.yaml"]).values


def test_a_deficit_of_ones_own_shares_epochs() -> None:
    prepare(DOCS / "recipes" / "deficit.md")
    assert not why_not_shareable("mine.SaltAndPepper")
    assert not why_not_shareable("fading.FadingSaltAndPepper")


SWITCHED = {
    *(name for name in REGISTRY if name.isidentifier() and name[0].isupper()),
    *DIAGNOSTICS,
    *DATASETS,
    *NETWORKS,
    *optimizers.__all__,
    "Dashboard",
    "DirectFeedbackAlignment",
    "FeedbackAlignment",
    "SAM",
}
QUESTIONS = ("parameters", "normalisation statistics", "optimizer state", "learning-rate clock")


def cards() -> dict[str, str]:
    """Return the text of each card by the name of its class."""
    texts = [page.read_text() for page in DOCS.glob("methods/*/*.md")]
    return {text.splitlines()[0].removeprefix("# "): text for text in texts}


def test_every_class_that_yaml_switches_on_has_a_card_and_no_other() -> None:
    assert {*cards()} == SWITCHED


@pytest.mark.parametrize("name", sorted(SWITCHED))
def test_a_card_has_the_form_of_all(name: str) -> None:
    text, index = cards()[name], (DOCS / "methods" / "index.md").read_text()
    for row in ("paper", *QUESTIONS, "logs", "cost", "configs"):
        assert re.search(rf"^\| {row} \| \S.* \|$", text, flags=re.MULTILINE), row
    assert re.search(rf"^::: [\w.]+\.{name}$", text, flags=re.MULTILINE)
    assert re.search(rf"class_path: [\w.]+\.{name}\b", text)
    assert re.search(rf"^\| \[`{name}`\]\(\S+\) \|", index, flags=re.MULTILINE)


def test_every_export_has_one_entry_in_the_reference() -> None:
    entries = [
        entry.rpartition(".")[2]
        for page in PAGES
        for entry in re.findall(r"^::: (\S+)$", page.read_text(), flags=re.MULTILINE)
    ]
    packages: tuple[Any, ...] = (callbacks, datamodules, networks, measurements, surgery)
    exported = {
        name for package in packages for name in package.__all__ if callable(getattr(package, name))
    }
    assert {name for name in exported if entries.count(name) != 1} == set()
    assert {*entries} >= NOT_SWITCHED


def test_files_and_tests_that_pages_name_are_there() -> None:
    tests = "".join(file.read_text() for file in (REPOSITORY / "tests").rglob("test_*.py"))
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r"(?:configs|benchmarks|tests)/[\w/]+\.(?:yaml|json|py)", text)
        assert [name for name in named if not (REPOSITORY / name).is_file()] == [], page
        functions = re.findall(r"`(test_\w+)`", text)
        assert [name for name in functions if f"def {name}(" not in tests] == [], page


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not target.startswith("http"):
                assert (page.parent / target.partition("#")[0]).exists(), f"{page}: {target}"


def placed(node: dict[str, Any], kind: type) -> dict[str, Any]:
    """Return a config fragment with a class at the place for its kind."""
    for base, key in {Deficit: "deficits+", StageTransform: "stage_transforms"}.items():
        if issubclass(kind, base):
            return {"data": {"init_args": {key: [node]}}}
    places = {DataStages: "growth", Augmentation: "augmentation", ExampleDataset: "dataset"}
    for base, key in places.items():
        if issubclass(kind, base):
            return {"data": {"init_args": {key: node}}}
    return {"model": {"init_args": {"network": node}}}


def test_examples_in_docstrings_of_data_and_networks_parse() -> None:
    for package in (datamodules, networks):
        for name in package.__all__:
            kind = getattr(package, name)
            text = "".join(line.strip(" ") for line in (kind.__doc__ or "").splitlines(True))
            for example in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL):
                node = yaml.safe_load(example)
                fragment = placed(node, kind) if "class_path" in node else node
                Path("example.yaml").write_text(yaml.safe_dump(fragment))
                assert parse(["fit", *BASE, "--config", "example.yaml"])
