"""What a reader of the figures should know of prepared data."""

from __future__ import annotations

from typing import Any

from edgekit.data.base import SPLITS, Preprocessing


def of_labels(splits: dict[str, dict[str, Any]], spec: Preprocessing) -> list[str]:
    """Notes on a classification's data: absent classes, resizing, colours."""
    return [*_absent(splits, "image"), *_resized(splits, spec), *_colours(splits, spec)]


def of_masks(splits: dict[str, dict[str, Any]], spec: Preprocessing) -> list[str]:
    """Notes on a segmentation's data: absent classes, windows or resizing, padding, spacing, ignored pixels."""
    notes = _absent(splits, "pixel")
    if spec.fit == "window":
        counted = ", ".join(
            f"{name} {part['cases']} cases in {part['count']} windows" for name, part in splits.items()
        )
        size = "x".join(map(str, spec.size))
        notes.append(f"cases are covered by windows of {size} that share at least {spec.overlap:.0%}: {counted}")
        padded = sum(part["padded_cases"] for part in splits.values())
        if padded:
            notes.append(
                f"{padded} cases are smaller than a window and are padded with the values of their edges; "
                "padding counts in no figure"
            )
    else:
        notes += _resized(splits, spec)
        if any(tuple(shape[:2]) != spec.size for shape in _shapes(splits)):
            notes.append("masks are resized too (nearest pixel): figures are those of the resized masks")
    ignored = sum(part["ignored"] for part in splits.values())
    if ignored:
        known = sum(sum(part["class_counts"].values()) for part in splits.values())
        notes.append(
            f"{ignored / (ignored + known):.1%} of the pixels count in no figure: outside of the field of "
            "view, or marked as unknown"
        )
    spacings = [part["spacing_mm"] for part in splits.values() if part["spacing_mm"]]
    least = [min(one["min"][axis] for one in spacings) for axis in range(len(spec.size))] if spacings else []
    most = [max(one["max"][axis] for one in spacings) for axis in range(len(spec.size))] if spacings else []
    if any(high > low * 1.01 for low, high in zip(least, most, strict=True)):
        notes.append(
            f"the spacing differs between cases, {_mm(least)} to {_mm(most)}: windows are cut in pixels, so that "
            "the network sees structures of one size at several scales"
        )
    return notes + _colours(splits, spec)


def _absent(splits: dict[str, dict[str, Any]], unit: str) -> list[str]:
    found = []
    for name in SPLITS:
        absent = [label for label, count in splits[name]["class_counts"].items() if not count]
        if absent:
            found.append(f"WARNING: the split '{name}' has no {unit} of: {', '.join(absent)}")
    return found


def _shapes(splits: dict[str, dict[str, Any]]) -> list[list[int]]:
    return [splits[name]["source_size"][which] for name in SPLITS for which in ("min", "max")]


def _resized(splits: dict[str, dict[str, Any]], spec: Preprocessing) -> list[str]:
    notes = []
    height, width = spec.size
    shapes = _shapes(splits)
    if any(shape[0] * width != shape[1] * height for shape in shapes):
        notes.append(f"images are resized to {height}x{width} without keeping their aspect ratio")
    if any(shape[0] < height or shape[1] < width for shape in shapes):
        notes.append(f"some images are smaller than {height}x{width} and are enlarged")
    return notes


def _colours(splits: dict[str, dict[str, Any]], spec: Preprocessing) -> list[str]:
    if len(spec.size) == 2 and spec.channels == 1 and any(len(shape) == 3 for shape in _shapes(splits)):
        return ["colour images are reduced to gray"]
    return []


def _mm(spacing: list[float]) -> str:
    return "x".join(f"{side:g}" for side in spacing) + " mm"
