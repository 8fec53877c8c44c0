from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from edgekit import yaml_source
from edgekit.errors import InputError
from edgekit.schema import Frozen
from edgekit.yaml_source import Source


class Cat(Frozen):
    kind: Literal["cat"]
    lives: int = 9


class Dog(Frozen):
    kind: Literal["dog"]
    tricks: tuple[str, ...] = ()


class Home(Frozen):
    name: str
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...] = ()


def source(folder: Path, text: str) -> Source:
    path = folder / "a.yaml"
    path.write_text(text, encoding="utf-8")
    return yaml_source.read(path)


def refusal(folder: Path, text: str) -> list[str]:
    """The lines of the error, each less the folder."""
    with pytest.raises(InputError) as caught:
        yaml_source.validate(source(folder, text), Home)
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_every_key_and_item_has_its_line(tmp_path: Path) -> None:
    found = source(
        tmp_path, "name: x\npets:\n  - kind: cat\n    lives: 3\n\n  - {kind: dog, tricks: [sit, roll]}\n"
    )
    assert found.data["pets"][1] == {"kind": "dog", "tricks": ["sit", "roll"]}
    lines = {("name",): 1, ("pets",): 2, ("pets", 0): 3, ("pets", 0, "lives"): 4, ("pets", 1, "tricks", 1): 6}
    assert {key: found.lines[key] for key in lines} == lines
    assert found.where(("pets", 0, "lives")) == f"{found.path}:4: pets[0].lives"
    assert found.where(("pets", 0, "colour")) == f"{found.path}:3: pets[0].colour"
    assert found.where(()) == f"{found.path}:1"


def test_all_errors_come_together(tmp_path: Path) -> None:
    said = refusal(
        tmp_path, "pets:\n  - kind: cat\n    lifes: 3\n  - kind: dgo\n  - lives: 2\n  - kind: cat\n    lives: x\n"
    )
    assert said == [
        "a.yaml:1: name: this key is required",
        "a.yaml:3: pets[0].lifes: unknown key, did you mean 'lives'? Allowed: kind, lives",
        "a.yaml:4: pets[1].kind: 'dgo' is not allowed, did you mean 'dog'? Allowed: cat, dog",
        "a.yaml:5: pets[2].kind: this key is required",
        "a.yaml:7: pets[3].lives: input should be a valid integer, unable to parse string as an integer (got 'x')",
    ]


def test_all_duplicates_are_named_with_both_lines(tmp_path: Path) -> None:
    assert refusal(tmp_path, "name: a\nname: b\npets:\n  - kind: cat\n    lives: 1\n    lives: 2\n") == [
        "a.yaml:2: name: duplicate key, first in line 1; keep one of them",
        "a.yaml:6: pets[0].lives: duplicate key, first in line 5; keep one of them",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\nname2: {<<: {a: 1}}\n", "a.yaml:2: name2: a key must be plain text; merge keys are not allowed"),
        ("name: &a [*a]\n", "a.yaml:1: name[0]: an alias to its own parent is not allowed"),
        (
            "name: !!python/name:os.system\n",
            "a.yaml:1: name: not a value of the kind 'os.system'; put it in quotes",
        ),
        ("name: 2025-02-31\n", "a.yaml:1: name: not a value of the kind 'timestamp'; put it in quotes"),
        ("name: [x\n", "a.yaml:2: not valid YAML:"),
        ("name: x\n--- \nname: y\n", "a.yaml:2: not valid YAML: but found another document"),
        ("name: \x07\n", "a.yaml: not valid YAML:"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    said = refusal(tmp_path, text)
    assert said[0].startswith(expected)


def test_aliases_of_aliases_cannot_fill_the_memory(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert refusal(tmp_path, "\n".join(rows)) == ["a.yaml: more than 100,000 values (write it without aliases)"]


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKIT_DATA", raising=False)
    monkeypatch.setenv("EDGEKIT_TEST_PLACE", "/somewhere")
    text = "a: ${EDGEKIT_DATA}/x\nb: ${EDGEKIT_TEST_PLACE}/y\nc: $HOME\n"
    assert source(tmp_path, text).data == {"a": "./data/x", "b": "/somewhere/y", "c": "$HOME"}
    monkeypatch.setenv("EDGEKIT_DATA", "/data")
    assert source(tmp_path, text).data["a"] == "/data/x"
    said = refusal(tmp_path, "name: x\npets: ['${EDGEKIT_TEST_UNSET}', '${EDGEKIT_TEST_UNSET2}']\n")
    assert said == [
        f"a.yaml:2: pets[{i}]: the environment variable '{name}' is not set (export {name}=...)"
        for i, name in enumerate(["EDGEKIT_TEST_UNSET", "EDGEKIT_TEST_UNSET2"])
    ]


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    source(tmp_path, "name: x\n")
    with pytest.raises(InputError, match=r"no such file \(did you mean .*/a\.yaml\?\)"):
        yaml_source.read(tmp_path / "b.yaml")
    with pytest.raises(InputError, match=r"no such file \(give the path of a YAML file\)"):
        yaml_source.read(tmp_path / "nowhere" / "zzz.yaml")


def test_dotted() -> None:
    assert yaml_source.dotted(("passes", 0, "epochs")) == "passes[0].epochs"
    assert yaml_source.dotted(()) == ""


def test_a_record_names_folders_by_their_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_DATA", "/somewhere/data")
    monkeypatch.delenv("EDGEKIT_WEIGHTS", raising=False)
    given = {"path": "/somewhere/data/set.npz", "more": ["in /somewhere/data/a", 3, None]}
    assert yaml_source.contract(given) == {
        "path": "${EDGEKIT_DATA}/set.npz",
        "more": ["in ${EDGEKIT_DATA}/a", 3, None],
    }
    assert yaml_source.contract("./weights/w.pth") == "./weights/w.pth"
