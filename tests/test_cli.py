from __future__ import annotations

import json
import subprocess
import sys

import pytest

from edgekit import cli, runtimes, target
from edgekit.errors import DeviceError, EdgekitError, GateError, InputError, MissingError

#: What must not be loaded until a command needs it.
HEAVY = ("torch", "timm", "torchvision", "sklearn", "skimage", "matplotlib", "onnx", "onnxruntime", "openvino")


def loaded_after(code: str) -> set[str]:
    """The modules of HEAVY that a fresh Python holds after ``code``."""
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = ended.stderr.split()
    assert "edgekit" in modules
    return set(modules) & set(HEAVY)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    monkeypatch.setattr(sys, "argv", ["edgekit", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


@pytest.mark.parametrize(
    "code",
    [
        "import edgekit",
        "import edgekit.cli; sys.argv = ['edgekit', '--help']; edgekit.cli.main()",
        "import edgekit.cli; sys.argv = ['edgekit', 'compress', '--help']; edgekit.cli.main()",
        "import edgekit.cli; sys.argv = ['edgekit', 'compress', 'no-such-recipe.yaml']; edgekit.cli.main()",
        "import edgekit.cli; sys.argv = ['edgekit', 'models']; edgekit.cli.main()",
    ],
)
def test_help_and_import_load_nothing_heavy(code: str) -> None:
    assert loaded_after(code) == set()


@pytest.mark.parametrize("kind", ["recipe", "target"])
def test_schema_is_json_schema(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert run(monkeypatch, "schema", kind) == 0
    found = json.loads(capsys.readouterr().out)
    definitions = found.get("$defs", {})
    shapes = [found] if kind == "target" else [definitions["Recipe"], definitions["Study"]]
    for shape in shapes:
        assert shape["type"] == "object"
        assert shape["additionalProperties"] is False
        assert {"schema_version", "name"} <= set(shape["required"])
    text = json.dumps(found)
    for name in definitions:
        assert f"#/$defs/{name}" in text


def test_targets_names_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    jetson = type(runtimes.get("tensorrt"))
    monkeypatch.setattr(jetson, "cannot_run", lambda self, target: "pip install 'edgekit[tensorrt]'")
    assert run(monkeypatch, "targets") == 0
    table = capsys.readouterr().out
    for name in target.available():
        assert name in table
    joined = "".join(table.replace("│", " ").split())
    assert "edgekit[tensorrt]" in joined


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("it [bold]is[/bold] wrong", where="r.yaml:3: name", remedy="mend it"), 2),
        (GateError("rejected"), 3),
        (MissingError("not here"), 4),
        (DeviceError("broken"), 5),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: EdgekitError, code: int
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fails)
    assert run(monkeypatch) == code
    # Brackets stay as they are, and a message stays one line.
    assert capsys.readouterr().err == f"error: {error}\n"


def test_an_interrupt_says_what_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(target, "available", interrupt)
    assert run(monkeypatch, "targets") == 130
    assert "finished stages are kept" in capsys.readouterr().err


def test_models_lists_what_a_recipe_can_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    assert run(monkeypatch, "models", "mobileone_s") == 0
    found = capsys.readouterr().out.split()
    assert "mobileone_s0" in found
    assert all("mobileone_s" in name for name in found)
    assert run(monkeypatch, "models", "--all") == 0
    assert {"mobileone_s4", "medmamba_t"} <= set(capsys.readouterr().out.split())


def test_models_shows_counts_beside_the_papers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models") == 0
    said = capsys.readouterr().out
    row = next(line for line in said.splitlines() if line.startswith("medmamba_t "))
    assert row.split()[1:7] == ["class.", "3x224x224", "15.22", "15.2", "2.985", "2.0"]
    lightm = next(line for line in said.splitlines() if line.startswith("lightm_unet "))
    mark = lightm.split()[lightm.split().index("1.09") + 1]
    note = next(line for line in said.splitlines() if line.startswith(f"{mark}: "))
    assert "thop" in note
    assert "9*L*D*S + L*D" in said


def test_models_shows_one_network_in_full(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "models", "medmamba_s") == 0
    said = capsys.readouterr().out
    assert said.startswith("medmamba_s: classification, 2-D, edgekit")
    assert "19,389,544" in said
    assert "23.5M parameters, ours 19.39M: differs; the depth" in said


def test_models_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "models", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert "MACs of one image" in found["convention"]
    networks = {one["name"]: one for one in found["networks"]}
    assert {"medmamba_t", "ultralight_vm_unet", "mobileone_s0"} <= set(networks)
    mobileone = networks["mobileone_s0"]
    assert mobileone["package"] == "timm"
    assert (mobileone["parameters"], mobileone["merged"]["parameters"]) == (5_293_272, 2_078_504)
    assert sum(mobileone["macs_breakdown"].values()) == mobileone["macs"]
    assert [one["agrees"] for one in mobileone["published"]] == [True, True, False]
    assert run(monkeypatch, "models", "lightm_unet", "--json") == 0
    names = [one["name"] for one in json.loads(capsys.readouterr().out)["networks"]]
    assert names == ["lightm_unet", "lightm_unet_3d", "lightm_unet_paper", "lightm_unet_paper_3d"]
    assert run(monkeypatch, "models", "no such network", "--json") == 2
    assert "no listed network's name holds 'no such network'" in capsys.readouterr().err
