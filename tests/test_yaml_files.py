"""YAML is read strictly, whatever file it is in."""

from pathlib import Path

import pytest

from plasticity_lab.errors import UserError
from plasticity_lab.runs.yaml_files import load_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: 2\na: 3\n", "line 3: a: is written twice, first in line 1; keep one"),
        (
            b"t: {max: 1}\nm:\n  t:\n    callbacks+: []\n    x: 1\n    callbacks+: [a]\n",
            r"line 6: callbacks\+: is written",
        ),
        (b"l:\n- {a: 1}\n- [{b: {c: 1, c: 1}}]\n", "line 3: c: is written twice, first in line 3"),
        ("a: é".encode("latin-1"), r"is not UTF-8 text \(byte 0xe9 at 3\); save it as UTF-8"),
        ("a: 1".encode("utf-16"), r"is not UTF-8 text \(byte 0xff at 0\)"),
        (b"a: 1\nb: {", "line 2: while parsing a flow node, .*; correct it"),
        (b"a: 2024-99-99", "is not YAML: month"),
        (b"a: !!python/object:os.system {}", "line 1: could not determine a constructor"),
        (b"[" * 2_000, "is nested too deeply"),
        (b"a: \x00", "is not YAML: "),
        (b"a: 1\nb: &loop {c: *loop}", "line 2: holds itself; write it out"),
        (b"&loop [1, *loop]", "line 1: holds itself; write it out"),
    ],
)
def test_one_line(content: bytes, message: str) -> None:
    file = Path("file.yaml")
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"^file\.yaml: {message}"):
        load_yaml(file)


def test_one_line_for_what_is_no_file() -> None:
    with pytest.raises(
        UserError, match=r"^absent\.yaml: cannot be read: No such file or directory; name another"
    ):
        load_yaml(Path("absent.yaml"))
    with pytest.raises(UserError, match=r"cannot be read: Is a directory"):
        load_yaml(Path())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("\ufeffa: 1\r\nb: [é]\r\n", {"a": 1, "b": ["é"]}),
        (
            "x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}\nz: {<<: [*x], b: 4}",
            {"x": {"a": 1, "b": 2}, "y": {"a": 3, "b": 2}, "z": {"a": 1, "b": 4}},
        ),
        ("1: a\n'1': b", {1: "a", "1": "b"}),
        ("a: {b: 1}\nc: {b: 1}", {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_what_is_right_is_read(text: str, value: object) -> None:
    file = Path("file.yaml")
    file.write_bytes(text.encode())
    assert load_yaml(file) == value
