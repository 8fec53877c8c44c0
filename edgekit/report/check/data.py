"""Data: splits that are apart, counts that add up, calibration on training images only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from edgekit import store
from edgekit.record import Record
from edgekit.report import classes, headline
from edgekit.report.check.finding import Finding
from edgekit.report.plain import dig, words


def data(record: Record) -> Iterator[Finding]:
    """The recipe's hash, the splits, and what each pass says of itself."""
    if store.digest(record.recipe) != record.recipe_sha256:
        yield Finding("hash", "recipe", "its sha256 is not that of 'recipe_sha256': one of them was changed")
    try:
        datetime.fromisoformat(record.created_utc)
    except ValueError:
        yield Finding("text", "created_utc", f"'{record.created_utc}' is no time")
    yield from _input(record)
    yield from _splits(record)
    yield from _counts(record)
    yield from _passes(record)


def _input(record: Record) -> Iterator[Finding]:
    """Data and files are prepared as the recipe says, and have its classes."""
    asked = dig(record.recipe, "input") or {}
    told = {"data.preprocessing": dig(record.data, "preprocessing")}
    told |= {f"artifacts.{one.name}.preprocessing": one.preprocessing for one in record.artifacts}
    for where, steps in told.items():
        for key in sorted(asked.keys() & (steps or {}).keys()):
            if steps[key] != asked[key]:
                yield Finding("figure", where, f"{key} {words(steps[key])}; the recipe says {words(asked[key])}")
    of_data, of_task = dig(record.data, "classes"), dig(record.recipe, "task", "classes")
    if of_data and of_task and list(of_data) != list(of_task):
        yield Finding("figure", "data.classes", f"{words(of_data)}; the recipe says {words(of_task)}")


def _splits(record: Record) -> Iterator[Finding]:
    hashes: dict[str, str] = {}
    for name, split in (dig(record.data, "splits") or {}).items():
        images = str(split.get("image_sha256") or "")
        if images and images in hashes:
            yield Finding("split", f"data.splits.{name}", f"the same images as {hashes[images]}")
        hashes[images] = name
    for stage in record.stages:
        used = dig(stage.changes, "calibration", "split")
        if used not in (None, "train"):
            yield Finding(
                "split", f"stages.{stage.name}", f"calibrated on the {used} split; only training images may"
            )
        images, available = (
            dig(stage.changes, "calibration", "images"),
            dig(record.data, "splits", "train", "count"),
        )
        if isinstance(images, int) and isinstance(available, int) and images > available:
            text = f"calibrated on {images} images; the training split has {available}"
            yield Finding("count", f"stages.{stage.name}", text)


def _counts(record: Record) -> Iterator[Finding]:
    """Images by class add up to the split, and the labels are those of the test split."""
    if headline.segments(record):
        return
    for name, split in (dig(record.data, "splits") or {}).items():
        count, of_class = split.get("count"), split.get("class_counts")
        if isinstance(of_class, dict) and isinstance(count, int) and sum(of_class.values()) != count:
            text = f"{count} images; its classes have {sum(of_class.values())}"
            yield Finding("count", f"data.splits.{name}", text)
    test = dig(record.data, "splits", "test")
    if not record.labels or not isinstance(test, dict):
        return
    if test.get("count") not in (None, len(record.labels)):
        yield Finding("count", "labels", f"{len(record.labels)}; the test split has {test['count']} images")
    for index, one in enumerate(classes.counts(record)):
        told, labelled = dig(test, "class_counts", one.name), sum(label == index for label in record.labels)
        if isinstance(told, int) and told != labelled:
            yield Finding("count", f"data.splits.test.{one.name}", f"{told} images; {labelled} labels")


def _passes(record: Record) -> Iterator[Finding]:
    """The recipe's passes were made; each began with the parameters that the one before it left."""
    made = [stage for stage in record.stages if stage.name.partition("-")[0].isdigit()]
    kinds = {stage.kind for stage in record.stages}
    for one in dig(record.recipe, "passes") or ():
        if kinds and dig(one, "kind") not in kinds:
            yield Finding("missing", "stages", f"the recipe's pass '{dig(one, 'kind')}' left no stage")
    rejected = {dig(stage.changes, "pass") for stage in record.stages if dig(stage.changes, "rejected")}
    kept = [stage for stage in made if stage.name not in rejected]
    for before, after in pairwise(kept):
        for what in ("parameters", "macs"):
            left, found = before.changes.get(f"{what}_after"), after.changes.get(f"{what}_before")
            if left is not None and found is not None and left != found:
                text = f"began with {found} {what}; {before.name} left {left}"
                yield Finding("count", f"stages.{after.name}", text)
    for stage in record.stages:
        if stage.kind == "prove":
            yield from _proof(stage.name, dig(stage.changes, "latency") or {})


def _proof(name: str, latency: dict[str, Any]) -> Iterator[Finding]:
    for target, row in latency.items():
        ratio, before, after = (dig(row, key) for key in ("speedup", "before_p50_s", "after_p50_s"))
        if ratio and before and after and abs(before / after / ratio - 1) > 1e-6:
            text = f"{ratio:.4g} times faster; its p50 give {before / after:.4g}"
            yield Finding("speedup", f"stages.{name}.latency.{target}", text)
