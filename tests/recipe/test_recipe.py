from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import recipe
from edgekit.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SHARED = """\
schema_version: 1
name: tiny
task: {kind: classification, description: a test, modality: CT, classes: [a, b, c, d, e]}
data: {kind: phantom}
input: {size: [32, 32]}
targets: [cpu, android]
"""
SINGLE = SHARED + "model: {architecture: resnet10t}\npasses:\n  - kind: finetune\n  - kind: quantize\n"
STUDY = (
    SHARED
    + """\
models:
  - model: {architecture: resnet10t, untrained: true}
  - model: {architecture: mobileone_s0}
    passes:
      - kind: finetune
      - kind: reparameterize
"""
)


def saved(folder: Path, text: str) -> Path:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        recipe.load(saved(folder, text))
    return [line.removeprefix(f"{folder}/") for line in str(caught.value).splitlines()]


def test_recipe_and_its_targets(tmp_path: Path) -> None:
    recipes, targets = recipe.load(saved(tmp_path, SINGLE))
    assert [one.name for one in recipes] == ["tiny"]
    assert [one.kind for one in recipes[0].passes] == ["finetune", "quantize"]
    assert list(targets) == ["cpu", "android"]
    assert targets["android"].runtime == "litert"
    assert (recipes[0].benchmark.warmup, recipes[0].benchmark.runs, recipes[0].benchmark.processes) == (50, 200, 3)


def test_a_gate_needs_the_analysis_that_it_judges(tmp_path: Path) -> None:
    gated = SINGLE + "gates: {max_robustness_drop: 0.05}\n"
    (line,) = refusal(tmp_path, gated)
    assert line.endswith("'gates.max_robustness_drop' needs 'evaluation.robustness': {} asks for its defaults")
    (loaded,), _ = recipe.load(saved(tmp_path, gated + "evaluation: {robustness: {severities: [1, 3]}}\n"))
    assert loaded.evaluation.robustness is not None
    assert loaded.evaluation.robustness.images == 200
    twice = refusal(tmp_path, SINGLE + "evaluation: {robustness: {corruptions: [contrast, contrast]}}\n")
    assert "name at least one, and each once" in twice[0]


def test_study_makes_one_recipe_a_model(tmp_path: Path) -> None:
    recipes, _ = recipe.load(saved(tmp_path, STUDY))
    assert [one.name for one in recipes] == ["tiny-resnet10t", "tiny-mobileone_s0"]
    assert [len(one.passes) for one in recipes] == [0, 2]
    assert recipes[0].data == recipes[1].data
    assert recipe.sha256(recipes[0]) != recipe.sha256(recipes[1])


def test_errors_of_a_study_have_their_lines(tmp_path: Path) -> None:
    wrong = STUDY.replace("untrained: true", "wieghts: {}").replace("kind: finetune", "kind: fold_batchnorm")
    said = refusal(tmp_path, wrong)
    assert said[0].startswith("r.yaml:8: models[0].model.wieghts: unknown key, did you mean 'weights'?")
    orders = refusal(
        tmp_path, wrong.replace("wieghts: {}", "untrained: true").replace("mobileone_s0}", "a, untrained: true}")
    )
    assert orders[0].startswith(
        "r.yaml:12: models[1].passes[1]: 'reparameterize' cannot come after 'fold_batchnorm'"
    )


def test_study_names_an_architecture_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, STUDY.replace("mobileone_s0", "resnet10t"))
    assert "an architecture is named twice in 'models'" in said[0]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "resnet10t}",
            "resnet10t, untrained: true, weights: {path: a.pth}}",
            "r.yaml:7: model: 'untrained' and 'weights'",
        ),
        (
            "  - kind: finetune\n",
            "",
            "the model has no weights: give 'model.weights', put a 'finetune' or 'distill' pass first",
        ),
        (
            "  - kind: finetune\n  - kind: quantize\n",
            "  - kind: quantize\n  - kind: finetune\n",
            "the model has no weights",
        ),
        (
            "  - kind: quantize\n",
            "  - kind: quantize\n  - kind: quantize\n",
            "r.yaml:11: passes[2]: 'quantize' cannot come",
        ),
    ],
)
def test_models_and_passes_that_make_no_sense(tmp_path: Path, before: str, after: str, expected: str) -> None:
    assert expected in refusal(tmp_path, SINGLE.replace(before, after))[0]


def test_new_classifier_needs_training(tmp_path: Path) -> None:
    (tmp_path / "a.pth").touch()
    text = SINGLE.replace("resnet10t}", f"resnet10t, weights: {{path: {tmp_path}/a.pth, replace_head: true}}}}")
    assert len(recipe.load(saved(tmp_path, text))[0]) == 1
    said = refusal(tmp_path, text.replace("  - kind: finetune\n", ""))
    assert "'replace_head' leaves a classifier that is not trained: add a 'finetune' pass" in said[0]


def test_errors_of_recipe_targets_and_files_come_together(tmp_path: Path) -> None:
    text = SINGLE.replace("{kind: phantom}", "{kind: npz, path: gone.npz}").replace("android", "andriod")
    text = text.replace("resnet10t}", "resnet10t, weights: {path: gone.pth}}")
    said = refusal(tmp_path, text)
    assert [line.split(": ")[:2] for line in said] == [
        ["r.yaml:6", "targets[1]"],
        ["r.yaml:7", "model.weights.path"],
        ["r.yaml:4", "data.path"],
    ]


def test_hash_ignores_comments_and_layout(tmp_path: Path) -> None:
    first = recipe.load(saved(tmp_path, SINGLE))[0][0]
    again = recipe.load(saved(tmp_path, "# a comment\n" + SINGLE.replace("\npasses", "\n\npasses")))[0][0]
    assert recipe.sha256(first) == recipe.sha256(again)


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_of_the_repository_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_DATA", "/nowhere/data")
    monkeypatch.setenv("EDGEKIT_WEIGHTS", "/nowhere/weights")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# edgekit compress recipes/{path.name}\n")
    if "${EDGEKIT_" not in text:
        recipes, _ = recipe.load(path)
        assert all(one.name.startswith(path.stem) for one in recipes)
        return
    with pytest.raises(InputError) as caught:
        recipe.load(path)
    lines = str(caught.value).splitlines()
    assert all(": no such file" in line for line in lines)
    assert len(lines) == text.count(": ${EDGEKIT_")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("gates: {max_sensitivity_drop: 0.1}", "'max_sensitivity_drop' is for classification; use 'max_dice_drop'"),
        ("gates: {max_balanced_accuracy_drop: 0.1}", "'max_balanced_accuracy_drop' is for classification"),
        ("evaluation: {temperature_scaling: true}", "'temperature_scaling' is for classification"),
    ],
)
def test_what_masks_do_not_know_is_refused(extra: str, said: str, tmp_path: Path) -> None:
    text = SINGLE.replace("kind: classification", "kind: segmentation")
    assert any(said in line for line in refusal(tmp_path, text + extra))
    assert recipe.load(saved(tmp_path, SINGLE + extra))[0]
