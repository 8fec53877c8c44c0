"""Counts as the papers print them, and why edgekit's differ where they do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quantity = Literal["parameters", "layers", "macs"]
_UNITS = {"M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Figure:
    """One number of a paper.

    Attributes:
        source: paper and table.
        quantity: which of edgekit's counts stands beside it: ``parameters``; ``layers``, the MACs of convolution
            and linear layers alone (thop's convention); or ``macs``, all of them. Papers print MACs as FLOPs.
        printed: the number with its unit, M or G.
        num_classes: for which it holds; the catalogue's where none.
        fused: of the network with its training branches merged.
        reason: why ours differs; empty only where they agree.
    """

    source: str
    quantity: Quantity
    printed: str
    num_classes: int | None = None
    fused: bool = False
    reason: str = ""

    @property
    def value(self) -> float:
        """The printed number, without unit."""
        return float(self.printed[:-1]) * _UNITS[self.printed[-1]]

    def agrees(self, ours: int) -> bool:
        """Whether ``ours``, rounded or cut to the digits that were printed, is the printed number."""
        decimals = len(self.printed[:-1].partition(".")[2])
        return abs(ours - self.value) < 10.0**-decimals * _UNITS[self.printed[-1]]


_MEDMAMBA = "MedMamba, Table 1"
_LIGHTM_2D, _LIGHTM_3D = "LightM-UNet, Table 2", "LightM-UNet, Table 1"
_XUE_2, _XUE_6, _XUE_8 = ("Xue et al. 2026, Table 2", "Xue et al. 2026, Table 6", "Xue et al. 2026, Table 8")
_REVIEW_2, _REVIEW_6 = "Nguyen and Hy's review, Table 2", "Nguyen and Hy's review, Table 6"
_LUNG = "Mahmoud et al. 2025, Table 1"

_SCAN_LEFT_OUT = "convolution and linear layers only: the paper leaves out einsum projections and the scan"
_DEPTH = (
    "the depth that the paper and its code print for stage 3 gives ours; its own counts need a deeper stage 3, "
    "which is {}"
)
_THOP_PARAMETERS = (
    "thop on the code's first upload (whose decoder had full 3x3 blocks): it counts only modules whose forward is "
    "called, and the fused Mamba kernel hides all of Mamba's weights; that upload really has {}"
)
_THOP_MACS = (
    "thop's MACs of a whole batch of {}, {} G an image, on the code's first upload and without Mamba; ours are of "
    "one image on the code's present form, with Mamba"
)
_LITERAL = "built as the text describes it, which gives neither the paper's nor its code's count"
_LUNG_FLOPS = (
    "no count of the work: every figure of that row is twice the parameters, 38 to 125 times too small (the paper "
    "names a fallback for where ptflops did not run)"
)
_BRANCHES = "with its training branches, which the paper never merged"


def _lung(parameters: str, flops: str, form: str = "") -> tuple[Figure, ...]:
    return (
        Figure(_LUNG, "parameters", parameters, num_classes=3, reason=form),
        Figure(_LUNG, "macs", flops, num_classes=3, reason=_LUNG_FLOPS),
    )


#: By network.
FIGURES: dict[str, tuple[Figure, ...]] = {
    "medmamba_t": (
        Figure(_MEDMAMBA, "parameters", "15.2M"),
        Figure(_MEDMAMBA, "layers", "2.0G", reason=_SCAN_LEFT_OUT),
    ),
    "medmamba_s": (
        Figure(_MEDMAMBA, "parameters", "23.5M", reason=_DEPTH.format("medmamba_s_paper_count")),
        Figure(_MEDMAMBA, "layers", "3.5G", reason=_DEPTH.format("medmamba_s_paper_count")),
    ),
    "medmamba_b": (
        Figure(_MEDMAMBA, "parameters", "48.1M", reason=_DEPTH.format("medmamba_b_paper_count")),
        Figure(_MEDMAMBA, "layers", "7.4G", reason=_DEPTH.format("medmamba_b_paper_count")),
        Figure(
            _REVIEW_2,
            "parameters",
            "24M",
            reason="printed as about 24 M, which is no MedMamba-B; nearest is the paper's MedMamba-S, 23.5 M",
        ),
    ),
    "medmamba_s_paper_count": (
        Figure(_MEDMAMBA, "parameters", "23.5M"),
        Figure(_MEDMAMBA, "layers", "3.5G", reason=_SCAN_LEFT_OUT),
    ),
    "medmamba_b_paper_count": (
        Figure(_MEDMAMBA, "parameters", "48.1M"),
        Figure(_MEDMAMBA, "layers", "7.4G", reason=_SCAN_LEFT_OUT),
    ),
    "lightm_unet": (
        Figure(_LIGHTM_2D, "parameters", "1.09M", reason=_THOP_PARAMETERS.format("5.38 M")),
        Figure(_LIGHTM_2D, "macs", "267.19G", reason=_THOP_MACS.format(12, "22.27")),
        Figure(_REVIEW_2, "parameters", "1.0M", reason="the paper's figure, rounded; see there"),
    ),
    "lightm_unet_3d": (
        Figure(_LIGHTM_3D, "parameters", "1.87M", reason=_THOP_PARAMETERS.format("6.15 M")),
        Figure(_LIGHTM_3D, "macs", "457.62G", reason=_THOP_MACS.format(2, "228.81")),
    ),
    "lightm_unet_paper": (Figure(_LIGHTM_2D, "parameters", "1.09M", reason=_LITERAL),),
    "lightm_unet_paper_3d": (Figure(_LIGHTM_3D, "parameters", "1.87M", reason=_LITERAL),),
    "ultralight_vm_unet": (
        Figure(_REVIEW_2, "parameters", "0.049M"),
        Figure(
            "UltraLight VM-UNet",
            "macs",
            "0.060G",
            reason="thop's count, from which the fused Mamba kernel hides Mamba's projections and the scan",
        ),
    ),
    "vm_unet": (Figure(_REVIEW_2, "parameters", "27.4M"),),
    "mednext_2026": (
        Figure(
            _XUE_2, "parameters", "10.72M", reason="fitted: no code is public, and the widths follow from counts"
        ),
        Figure(
            _XUE_2,
            "macs",
            "1.90G",
            reason="fitted to the paper's ablation table, which leaves out the row and column products",
        ),
    ),
    "medunext_2026": (
        Figure(
            _XUE_6,
            "parameters",
            "39.85M",
            reason="the plainest reading: no code is public, and the paper's ablation table contradicts itself",
        ),
        Figure(_XUE_8, "macs", "39.87G", reason="not identifiable, as its parameters"),
    ),
    "mobileone_s0": (
        Figure(_REVIEW_6, "parameters", "2.08M", fused=True),
        *_lung("4.27M", "0.010G", _BRANCHES),
    ),
    "fastvit_s12": _lung("8.45M", "0.020G", _BRANCHES),
    "mambaout_femto": _lung("6.15M", "0.010G"),
    "efficientnet_b0": _lung("4.01M", "0.010G"),
    "efficientnet_lite0": (
        Figure("EfficientNet-lite's repository", "parameters", "4.7M"),
        Figure(
            "EfficientNet-lite's repository",
            "macs",
            "407M",
            reason="5 % more than its convolution and linear layers need; the table does not say what it counts",
        ),
    ),
    "resnet18": (
        Figure(_XUE_2, "parameters", "11.69M"),
        Figure(_XUE_2, "macs", "1.82G"),
    ),
    "resnet50": (
        Figure(_XUE_2, "parameters", "25.56M"),
        Figure(_XUE_2, "macs", "4.11G", reason="thop adds two operations for each value of each BatchNorm"),
        *_lung("23.51M", "0.050G"),
    ),
    "vit_tiny_patch16_224": _lung("5.52M", "0.010G"),
    "swinv2_cr_tiny_ns_224": _lung("27.57M", "0.060G"),
    "efficientformerv2_s0": (
        Figure(_REVIEW_6, "parameters", "3.60M"),
        Figure(
            _REVIEW_2, "parameters", "3.5M", reason="the original paper's figure; the review itself counts 3.60 M"
        ),
    ),
    "mobilevit_xs": (Figure(_REVIEW_2, "parameters", "2.3M"),),
    "repvit_m0_9": (
        Figure("RepViT's repository", "parameters", "5.1M", fused=True),
        Figure("RepViT's repository", "macs", "0.8G", fused=True),
    ),
    "levit_128": (
        Figure("LeViT's repository", "parameters", "9.2M"),
        Figure("LeViT's repository", "macs", "406M"),
    ),
}
