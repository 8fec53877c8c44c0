"""How a run is evaluated, measured and judged: sections of a recipe that have defaults."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edgekit.evaluate.analyses import OutOfDistribution, Robustness, Saliency
from edgekit.schema import Frozen


class Evaluation(Frozen):
    """How accuracy and calibration are computed, on the whole test split."""

    bootstrap: int = Field(default=1000, ge=100, le=100_000, description="resamples for the 95 % intervals")
    seed: int = Field(default=0, ge=0)
    parity_images: int = Field(default=64, ge=8, description="real images for the comparison with the source")
    robustness: Robustness | None = Field(default=None, description="errors on corrupted images; off when absent")
    temperature_scaling: bool = Field(
        default=False,
        description="fit one temperature for each artifact on the validation split, write it into its model.json "
        "and report the test split before and after; classification only",
    )
    out_of_distribution: OutOfDistribution | None = Field(
        default=None, description="confidence on other images; off when absent, classification only"
    )
    saliency: Saliency | None = Field(
        default=None, description="agreement of saliency maps; off when absent, classification only"
    )
    thumbnails: int = Field(
        default=0,
        ge=0,
        le=24,
        description="so many of each artifact's worst changed predictions are shown as small pictures, which then "
        "stand in the record; 0, for none, where images of patients must not; classification only",
    )


class Throughput(Frozen):
    """Images a second of several streams, each of batch 1, beside one another: no latency is taken from it."""

    streams: int = Field(default=0, ge=0, le=256, description="0: one a core")
    window_s: float = Field(default=1.0, ge=0.1, le=60, description="length of each of three windows")


class Benchmark(Frozen):
    """The latency protocol: batch 1, fresh processes, artifacts in turn."""

    warmup: int = Field(default=50, ge=1)
    runs: int = Field(default=200, ge=10)
    processes: int = Field(default=3, ge=1)
    most_processes: int = Field(
        default=9,
        ge=1,
        description="files of one target that so many 'processes' do not tell apart get more, up to this many; as "
        "many as 'processes': none. In a study, where runs are compared, all files have 'processes'",
    )
    source: bool = Field(default=True, description="also measure the model in PyTorch, as trained and fused")
    throughput: Throughput | None = Field(
        default=None, description="also measure throughput, after the latency; {} for the defaults"
    )
    mlperf_single_stream: bool = Field(
        default=False, description="also report the 90th percentile by LoadGen's early-stopping estimate"
    )


class Gates(Frozen):
    """What an artifact must keep, or it is set aside as rejected."""

    float_max_relative_difference: float = Field(default=1e-3, gt=0, description="of logits, to the largest logit")
    float_min_agreement: float = Field(default=0.999, ge=0, le=1, description="share of equal argmax")
    int8_min_agreement: float = Field(default=0.95, ge=0, le=1, description="with the float model, after PTQ")
    qat_min_agreement: float = Field(
        default=0.995, ge=0, le=1, description="with the fake-quantized model, after QAT"
    )
    max_accuracy_drop: float = Field(default=0.01, ge=0, le=1, description="of any artifact below the source")
    float_min_mask_dice: float = Field(default=0.99, ge=0, le=1, description="overlap of masks with the source's")
    int8_min_mask_dice: float = Field(default=0.9, ge=0, le=1, description="the same, after PTQ")
    qat_min_mask_dice: float = Field(default=0.95, ge=0, le=1, description="the same, after QAT")
    max_dice_drop: float = Field(default=0.01, ge=0, le=1, description="of the mean Dice, below the source's")
    max_balanced_accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="below the source; classification only"
    )
    max_sensitivity_drop: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="of every class, below the source: a non-inferiority margin, held when the 95 % interval of "
        "the drop ends within it, whatever 'decide_by' says; classification only",
    )
    max_ece_rise: float | None = Field(default=None, ge=0, le=1, description="above the source's")
    max_nll_rise: float | None = Field(default=None, ge=0, description="above the source's, in nat")
    max_robustness_drop: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="of the error from clean to corrupted images above the source's rise, for every corruption "
        "(upper end of its 95 % interval), whatever 'decide_by' says",
    )
    max_p90_ms: float | None = Field(default=None, gt=0, description="latency of one inference, measured here")
    max_size_mb: float | None = Field(default=None, gt=0, description="of the artifact's files; 1 MB is 10^6 bytes")
    max_energy_j: float | None = Field(default=None, gt=0, description="joules per inference, measured here")
    decide_by: Literal["estimate", "interval"] = Field(
        default="estimate",
        description="drops, rises and p90: estimate compares the figure itself with the limit; interval asks that "
        "the far end of its 95 % interval keeps it (non-inferiority), and is undecided where only the figure does",
    )
    undecided: Literal["fail", "pass"] = Field(
        default="fail", description="what a gate counts as that the data cannot decide"
    )
