"""What the model is for: task, images, preprocessing, classes."""

from __future__ import annotations

from edgekit.record import Record
from edgekit.report import classes, figures, headline
from edgekit.report.escape import oneline
from edgekit.report.figures import Shown, not_recorded
from edgekit.report.items import Item, item
from edgekit.report.plain import dig, stated, words

#: The sides of an input by their number.
_SIDES = {2: "pixels (height x width)", 3: "voxels (depth x height x width)"}


def items(record: Record) -> list[Item]:
    """Clinical task, modality, input, preprocessing, number of images, balance of the classes."""
    recipe = record.recipe
    return [
        item("Clinical task", stated(dig(recipe, "task", "description"), "the recipe does not state it")),
        item("Modality", stated(dig(recipe, "task", "modality"), "the recipe does not state it")),
        item("Input resolution", _resolution(record)),
        item("Preprocessing pipeline", _preprocessing(record)),
        item("Dataset scale", _scale(record)),
        item("Class imbalance", _imbalance(record)),
    ]


def _resolution(record: Record) -> Shown:
    size = dig(record.recipe, "input", "size")
    if not isinstance(size, (list, tuple)) or len(size) not in _SIDES:
        return not_recorded("the recipe holds no input size")
    by = " x ".join(map(str, size))
    return Shown(f"{by} {_SIDES[len(size)]}, {dig(record.recipe, 'input', 'channels')} channels")


def _preprocessing(record: Record) -> Shown:
    steps = dig(record.recipe, "input")
    if not isinstance(steps, dict):
        return not_recorded("the recipe holds no preprocessing")
    channels = "one channel" if steps.get("channels") == 1 else "three channels (grayscale is repeated)"
    fitted = f"whole image resized ({words(steps.get('resize'))})"
    if steps.get("fit") == "window":
        overlap = f"{words(steps.get('overlap'))} of a window's side"
        fitted = f"windows of the input size on a grid, neighbours sharing {overlap}, small images padded"
    scaled = (
        f"divided by {words(steps.get('scale'))}; mean {words(steps.get('mean'))} subtracted; divided by standard "
        f"deviation {words(steps.get('std'))}"
    )
    if steps.get("normalization") == "per_image":
        scaled = "each image's own mean subtracted, divided by its standard deviation"
    return Shown(
        f"{channels}; {fitted}; {scaled}; the same for calibration and test, and stored with every artifact"
    )


def _scale(record: Record) -> Shown:
    parts, sizes = [], dict[str, None]()
    for name, split in (dig(record.data, "splits") or {}).items():
        groups = dig(split, "groups")
        count = groups if isinstance(groups, int) else len(groups) if isinstance(groups, (list, tuple)) else None
        small, large = (dig(split, "source_size", end) for end in ("min", "max"))
        sizes.update(dict.fromkeys(words(size).replace(", ", " x ") for size in (small, large) if size))
        cases = dig(split, "cases")
        what = f"{dig(split, 'count')} windows of {cases} images" if cases else f"{dig(split, 'count')} images"
        parts.append(f"{oneline(name)} {what}" + (f" of {count} groups" if count else ""))
    if not parts:
        return not_recorded("the record holds no splits")
    before = f"; smallest and largest before resizing: {', '.join(sizes)} pixels" if sizes else ""
    return Shown(f"{words(dig(record.data, 'name'))}: {', '.join(parts)}{before}")


def _imbalance(record: Record) -> Shown:
    found = classes.counts(record)
    unit = headline.of(record).unit
    counted = [one for one in found if one.train is not None]
    if not counted:
        return not_recorded("the record holds no class counts")
    largest = max(one.train or 0 for one in counted)
    least = min(one.train or 0 for one in counted)
    ratio = (
        f"largest to smallest {figures.number(largest / least)}:1" if least else f"a class has no training {unit}"
    )
    total = sum(one.train or 0 for one in counted)
    shares = ", ".join(
        f"{oneline(one.name)} {one.train} ({(one.train or 0) / max(total, 1):.1%})" for one in counted
    )
    return Shown(f"{ratio}; training {unit} by class: {shares}")
