"""One network in full."""

from __future__ import annotations

from typing import Any

from edgekit.counts import CONVENTION, Macs
from edgekit.report.networks.known import Count, Known
from edgekit.zoo.published import Figure

_QUANTITIES = {"parameters": "parameters", "layers": "MACs of layers", "macs": "MACs"}


def lines(network: Known) -> list[str]:
    """Plain text, a line each."""
    entry = network.entry
    size = "x".join(map(str, entry.input_size))
    package = "timm" if entry.factory is None else "edgekit"
    said = [
        f"{entry.name}: {entry.task}, {entry.dimensions}-D, {package}",
        f"  source      {entry.source}",
        f"  counts for  {entry.num_classes} classes, input {size}",
    ]
    said += _counts("as built", network.plain) + _counts("with its training branches merged", network.merged)
    if network.arguments:
        said.append("  arguments   " + ", ".join(f"{name}={value}" for name, value in network.arguments.items()))
    if network.figures:
        said.append("  papers")
        said += [f"    {_figure(figure, ours)}" for figure, ours in network.figures]
    said.append("  runtimes, in float32, as tried" if network.runtimes else "  runtimes    not tried")
    said += [f"    {name:12s}{_runtime(found)}" for name, found in network.runtimes.items()]
    return [*said, f"  {CONVENTION}"]


def _counts(form: str, count: Count | None) -> list[str]:
    if count is None:
        return []
    return [f"  {form}", f"    parameters  {count.parameters:,}", f"    MACs        {_macs(count.macs)}"]


def _macs(macs: Macs) -> str:
    parts = (macs.linear_and_convolution, macs.einsum_and_matmul, macs.scan)
    named = zip(("layers", "products", "scan"), parts, strict=True)
    return f"{macs.total:,} = " + " + ".join(f"{name} {part:,}" for name, part in named)


def _figure(figure: Figure, ours: int) -> str:
    unit, scale = (figure.printed[-1], 1e6 if figure.printed[-1] == "M" else 1e9)
    decimals = len(figure.printed[:-1].partition(".")[2])
    form = ", merged" if figure.fused else ""
    classes = f", {figure.num_classes} classes" if figure.num_classes else ""
    verdict = "agrees" if figure.agrees(ours) else "differs"
    text = (
        f"{figure.source}: {figure.printed} {_QUANTITIES[figure.quantity]}{form}{classes}, "
        f"ours {ours / scale:.{decimals + 1}f}{unit}: {verdict}"
    )
    return f"{text}; {figure.reason}" if figure.reason else text


def _runtime(found: dict[str, Any]) -> str:
    size = "x".join(map(str, found["input_size"]))
    if "failed" in found:
        return f"fails at {size}: {found['failed']}"
    if "not_run" in found:
        return f"exports at {size}; not run: {found['not_run']}"
    return f"runs at {size}; differs from PyTorch by {found['error']:.0e} of the greatest logit"
