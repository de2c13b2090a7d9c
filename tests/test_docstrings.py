"""Docstrings of classes that YAML switches on show the YAML, and it parses."""

import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

import callbacks
from plasticity_lab.runs.parse import parse
from tests.registry import DIAGNOSTICS, REGISTRY
from tests.runs import tiny

SHOWN = [name for name in callbacks.__all__ if name in REGISTRY or name in DIAGNOSTICS]


@pytest.mark.parametrize("name", SHOWN)
def test_a_callback_shows_its_yaml(name: str) -> None:
    text = inspect.cleandoc(getattr(callbacks, name).__doc__)
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    node: dict[str, Any] = yaml.safe_load(textwrap.dedent(example))
    assert node["class_path"] == f"callbacks.{name}"
    config = parse(["fit", *tiny({"trainer": {"callbacks+": [node]}})])
    assert config.settings.trainer.callbacks[-1].class_path.endswith(f".{name}")
    assert Path("tiny1.yaml").is_file()
