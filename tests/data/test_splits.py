from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgekit.data.base import Split, SplitName
from edgekit.data.splits import Draw, check_disjoint, draw, image_hash, overlap
from edgekit.errors import InputError

SHARES: dict[SplitName, float] = {"train": 0.7, "val": 0.1, "test": 0.2}


def test_every_class_has_its_share() -> None:
    labels = np.repeat([0, 1, 2], [600, 370, 30])
    found = np.array(draw(labels, None, SHARES, seed=3))
    for label, count in enumerate((600, 370, 30)):
        for name, share in SHARES.items():
            assert abs(int(((found == name) & (labels == label)).sum()) - share * count) <= 1


def test_groups_stay_whole_and_classes_nearly_in_share() -> None:
    random = np.random.default_rng(0)
    groups = [f"p{n}" for n in random.integers(0, 300, 1500)]
    labels = random.choice(3, 1500, p=[0.6, 0.35, 0.05])
    found = draw(labels, groups, SHARES, seed=0)
    split_of: dict[str, str] = {}
    assert all(split_of.setdefault(g, s) == s for g, s in zip(groups, found, strict=True))
    for label in range(3):
        of_class = [s for s, one in zip(found, labels, strict=True) if one == label]
        for name, share in SHARES.items():
            assert of_class.count(name) / len(of_class) == pytest.approx(share, abs=0.04)


def test_small_splits_get_large_groups_too() -> None:
    groups = [f"single{n}" for n in range(600)] + [f"pair{n // 2}" for n in range(600)]
    found = draw(np.zeros(1200, np.int64), groups, SHARES, seed=0)
    for name, share in SHARES.items():
        of_split = [group for group, split in zip(groups, found, strict=True) if split == name]
        assert len(of_split) == pytest.approx(1200 * share, abs=2)
        assert sum(group.startswith("pair") for group in of_split) / len(of_split) == pytest.approx(0.5, abs=0.12)


def test_one_large_group_goes_to_the_large_split() -> None:
    groups = ["large"] * 300 + [f"single{n}" for n in range(700)]
    for seed in range(5):
        found = draw(np.zeros(1000, np.int64), groups, SHARES, seed)
        assert (found[0], found.count("val"), found.count("test")) == ("train", 100, 200)


def test_the_seed_alone_decides() -> None:
    labels = np.arange(100) % 4
    assert draw(labels, None, SHARES, 1) == draw(labels, None, SHARES, 1)
    assert draw(labels, None, SHARES, 1) != draw(labels, None, SHARES, 2)


def test_refuses_too_few_groups() -> None:
    with pytest.raises(InputError, match="2 groups are too few: nothing is left for"):
        draw(np.zeros(10, np.int64), ["a", "b"] * 5, SHARES, 0)


def test_shares_must_be_whole() -> None:
    with pytest.raises(ValidationError, match=r"must add up to 1 \(they give 1.1\)"):
        Draw(train=0.8)


def split(groups: tuple[str, ...]) -> Split:
    labels = np.zeros(len(groups), np.int64)
    return Split(len(groups), lambda _: np.zeros((2, 2), np.uint8), labels, groups, groups)


def test_names_shared_groups() -> None:
    check_disjoint({"train": split(("a", "a", "b")), "val": split(("c",))}, "here")
    with pytest.raises(InputError, match="here: the group 'b' and 1 more is in 'train' and in 'test'"):
        check_disjoint({"train": split(("a", "b")), "test": split(("b", "a"))}, "here")


def test_hash_is_of_pixels_and_shape() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert image_hash(image) == image_hash(np.asfortranarray(image))
    assert image_hash(image) != image_hash(image.reshape(4, 3))
    assert image_hash(image) != image_hash(image + np.uint8(1))


def test_overlap_names_each_image_once_a_split() -> None:
    hashes: dict[SplitName, list[str]] = {"train": ["x", "x", "y"], "val": ["z"], "test": ["x", "z", "q"]}
    ids: dict[SplitName, list[str]] = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f", "g"]}
    assert overlap(hashes, ids) == [("train", "a", "test", "e"), ("val", "d", "test", "f")]
