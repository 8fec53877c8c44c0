"""edgekit's own networks, and those of timm that the papers used: what each is and where it comes from.

To add a network: write its file, add its entry here, and run ``python -m edgekit.zoo.counted`` and ``python -m
edgekit.zoo.exported NAME`` for what ``edgekit models`` says of it. The file is imported when the network is built.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgekit.errors import InputError

if TYPE_CHECKING:
    from torch import nn

Size = tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One network.

    Attributes:
        name: in recipes.
        factory: ``module:function`` within ``edgekit.zoo``; called with ``num_classes``, ``in_channels`` and the
            recipe's arguments as keywords. None for timm's.
        task: what its output is: logits ``[N, K]``, or ``[N, K, *spatial]``.
        source: the paper.
        input_size: (C, *spatial) in that paper; counts are for this size.
        num_classes: K in that paper; counts are for this many.
        small_size: a small input that it takes, where exports are checked.
    """

    name: str
    factory: str | None
    task: Literal["classification", "segmentation"]
    source: str
    input_size: Size
    num_classes: int
    small_size: Size

    @property
    def dimensions(self) -> int:
        """Of one image: 2 or 3."""
        return len(self.input_size) - 1


def _medmamba(name: str) -> Entry:
    source = "MedMamba, Yue and Li 2024"
    return Entry(name, f"medmamba:{name}", "classification", source, (3, 224, 224), 1000, (3, 64, 64))


def _segmentation(name: str, source: str, size: Size, num_classes: int, small: Size) -> Entry:
    file = name.removesuffix("_3d")
    return Entry(name, f"{file}:{name}", "segmentation", source, size, num_classes, small)


def _timm(name: str, source: str, side: int = 224, small: int = 64) -> Entry:
    return Entry(name, None, "classification", source, (3, side, side), 1000, (3, small, small))


_LIGHTM = "LightM-UNet, Liao et al. 2024"
_XUE = "Xue et al. 2026"
ENTRIES: tuple[Entry, ...] = (
    _medmamba("medmamba_t"),
    _medmamba("medmamba_s"),
    _medmamba("medmamba_b"),
    _medmamba("medmamba_s_paper_count"),
    _medmamba("medmamba_b_paper_count"),
    Entry(
        "medmamba_lite",
        "medmamba_lite:medmamba_lite",
        "classification",
        "after MedMambaLite",
        (3, 224, 224),
        1000,
        (3, 64, 64),
    ),
    _segmentation("lightm_unet", _LIGHTM, (3, 512, 512), 2, (3, 32, 32)),
    _segmentation("lightm_unet_3d", _LIGHTM, (1, 128, 128, 128), 3, (1, 16, 16, 16)),
    _segmentation("lightm_unet_paper", _LIGHTM, (3, 512, 512), 2, (3, 32, 32)),
    _segmentation("lightm_unet_paper_3d", _LIGHTM, (1, 128, 128, 128), 3, (1, 16, 16, 16)),
    _segmentation("ultralight_vm_unet", "UltraLight VM-UNet, Wu et al. 2025", (3, 256, 256), 1, (3, 64, 64)),
    _segmentation("vm_unet", "VM-UNet, Ruan et al. 2024", (3, 256, 256), 1, (3, 64, 64)),
    Entry(
        "mednext_2026",
        "mednext_2026:mednext_2026",
        "classification",
        f"MedNeXt, {_XUE}",
        (3, 224, 224),
        2,
        (3, 224, 224),
    ),
    _segmentation("medunext_2026", f"MedUNeXt, {_XUE}", (3, 224, 224), 4, (3, 224, 224)),
)
#: Networks of timm in the papers' tables.
CITED: tuple[Entry, ...] = (
    _timm("mobileone_s0", "MobileOne, Vasu et al. 2023"),
    _timm("fastvit_s12", "FastViT, Vasu et al. 2023", 256),
    _timm("mambaout_femto", "MambaOut, Yu and Wang 2024"),
    _timm("efficientnet_b0", "EfficientNet, Tan and Le 2019"),
    _timm("efficientnet_lite0", "EfficientNet-lite, Liu 2020"),
    _timm("resnet18", "ResNet, He et al. 2016"),
    _timm("resnet50", "ResNet, He et al. 2016"),
    _timm("vit_tiny_patch16_224", "ViT, Dosovitskiy et al. 2021", small=224),
    _timm("swinv2_cr_tiny_ns_224", "Swin V2, Liu et al. 2022", small=224),
    _timm("efficientformerv2_s0", "EfficientFormerV2, Li et al. 2023", small=224),
    _timm("mobilevit_xs", "MobileViT, Mehta and Rastegari 2022", 256),
    _timm("repvit_m0_9", "RepViT, Wang et al. 2024"),
    _timm("repvit_m1", "RepViT, Wang et al. 2024"),
    _timm("levit_128", "LeViT, Graham et al. 2021", small=224),
)
LISTED = (*ENTRIES, *CITED)


def names() -> list[str]:
    """Every network of edgekit's own."""
    return [entry.name for entry in ENTRIES]


def find(name: str) -> Entry | None:
    """edgekit's own network called ``name``."""
    return next((entry for entry in ENTRIES if entry.name == name), None)


def build(entry: Entry, arguments: dict[str, Any], num_classes: int, in_channels: int) -> nn.Module:
    """The network with random weights; not for an entry of timm's.

    Raises:
        InputError: it does not take the arguments.
    """
    try:
        return _factory(entry)(num_classes=num_classes, in_channels=in_channels, **arguments)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"'{entry.name}' cannot be built with these arguments: {error}",
            where="model.arguments",
            remedy=f"'edgekit models {entry.name}' lists its arguments",
        ) from error


def arguments_of(entry: Entry) -> dict[str, Any]:
    """What the recipe's ``model.arguments`` may hold, with defaults; see timm's documentation for its networks."""
    if entry.factory is None:
        return {}
    taken = inspect.signature(_factory(entry)).parameters.values()
    fixed = ("num_classes", "in_channels")
    return {one.name: one.default for one in taken if one.name not in fixed and one.kind is not one.VAR_KEYWORD}


def _factory(entry: Entry) -> Callable[..., nn.Module]:
    module, _, function = (entry.factory or "").partition(":")
    made: Callable[..., nn.Module] = getattr(importlib.import_module(f"edgekit.zoo.{module}"), function)
    return made
