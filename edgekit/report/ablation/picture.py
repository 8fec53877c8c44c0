"""What a study set out to raise (balanced accuracy, mean Dice) against p50, a panel a target, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgekit.report import figures, headline
from edgekit.report.ablation import scores, timing
from edgekit.report.ablation.rows import Row, rows
from edgekit.report.ablation.runs import Runs
from edgekit.report.plain import dig, words
from edgekit.report.plots import style
from edgekit.report.plots.against_latency import pareto

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Okabe and Ito's colours; candidates beyond them are told apart by their number.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
_SHAPES = {"fp32": "o", "fp16": "D", "bf16": "D", "int8": "s"}
#: Room above and below the scores, as a part of their range, and the least range shown.
_ROOM, _RANGE = 0.35, 0.02
_WIDTH = 5.2


@dataclass(frozen=True)
class Point:
    """One artifact: p50 in ms and its score, each with its interval where there is one."""

    row: Row
    number: int
    p50: tuple[float, float | None, float | None]
    score: tuple[float, float | None, float | None]


def draw(runs: Runs) -> Figure | None:
    """The figure; none where no exported artifact has both a latency and an accuracy."""
    points = [one for row in rows(runs) if row.target is not None and (one := point(runs, row))]
    if not points:
        return None
    targets = list(dict.fromkeys(str(one.row.target) for one in points))
    shown = headline.of(runs.runs[0].record)
    metric = shown.study[shown.pictured]
    figure = style.new_figure(_WIDTH * min(2, len(targets)) + 0.6, 4.3 * -(-len(targets) // 2) + 0.6)
    axes = figure.subplots(-(-len(targets) // 2), min(2, len(targets)), squeeze=False)
    for axis in axes.flat[len(targets) :]:
        axis.set_visible(False)
    for axis, target in zip(axes.flat, targets, strict=False):
        _panel(axis, metric, [one for one in points if one.row.target == target])
        runtime = words(dig(runs.runs[0].record.targets, target, "runtime"))
        axis.set_title(f"{style.label(target)}: {figures.runtime(runtime)}", fontsize=9, loc="left")
    _legend(figure, points)
    return figure


def front(points: list[Point]) -> list[Point]:
    """The accepted points that no other accepted one beats in both figures, the fastest first."""
    by_name = {f"{index}": one for index, one in enumerate(points) if one.row.accepted}
    at = {name: (one.p50[0], -one.score[0]) for name, one in by_name.items()}
    return [by_name[name] for name in pareto(at)]


def point(runs: Runs, row: Row) -> Point | None:
    """Where an artifact stands; none where it has no latency or no accuracy."""
    own = runs.of(row.candidate)
    latency = timing.p50_s(own, row.artifact)
    metric = headline.of(runs.runs[0].record).pictured
    score = scores.over_seeds(own, row.artifact, metric)
    if latency is None or score is None:
        return None
    low, high = score.low, score.high
    if own[0].study.seed is None:
        found = own[0].record.value(row.artifact, metric)
        low, high = (found.interval if found else None) or (None, None)
    value, *ends = latency
    fastest, slowest = (None if end is None else end * 1e3 for end in ends)
    number = runs.study.candidates.index(row.candidate) + 1
    return Point(row, number, (value * 1e3, fastest, slowest), (score.mean, low, high))


def _panel(axis: Any, metric: str, points: list[Point]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    best = front(points)
    axis.plot([one.p50[0] for one in best], [one.score[0] for one in best], color="black", linewidth=0.8, zorder=1)
    together: dict[tuple[float, float], list[Point]] = {}
    for one in points:
        together.setdefault((one.p50[0], one.score[0]), []).append(one)
    for same in together.values():
        # Candidates that share a file stand at one place.
        one = same[0]
        colour = _COLOURS[(one.number - 1) % len(_COLOURS)]
        axis.errorbar(
            one.p50[0],
            one.score[0],
            xerr=_ends(one.p50),
            yerr=_ends(one.score),
            color=colour,
            elinewidth=0.9,
            capsize=2,
            zorder=2,
        )
        axis.plot(
            one.p50[0],
            one.score[0],
            marker=_SHAPES.get(str(one.row.precision.value), "o"),
            markersize=11,
            # Hollow, where a gate rejected it or a process failed.
            color=colour if one.row.accepted else "white",
            markeredgecolor="black" if any(each in best for each in same) else colour,
            markeredgewidth=1.4,
            linestyle="none",
            zorder=3,
        )
        alone = len(same) == 1
        axis.annotate(
            ", ".join(str(each.number) for each in same),
            (one.p50[0], one.score[0]),
            xytext=(0, 0 if alone else 11),
            textcoords="offset points",
            ha="center",
            va="center",
            color="white" if alone and one.row.accepted else "black",
            fontsize=7,
            zorder=4,
        )
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 3.0, 5.0, 7.0)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(0.15)
    axis.set_xlabel("p50 of one inference, ms (logarithmic)")
    # Three seeds can give intervals far beyond 0 and 1; drawn whole, they would press all points onto one line.
    values = [one.score[0] for one in points]
    room = _ROOM * max(max(values) - min(values), _RANGE)
    axis.set_ylim(min(values) - room, max(values) + room)
    axis.set_ylabel(f"{metric} (95 % interval, cut at the edge)")
    axis.grid(visible=True, which="both", color="#EEEEEE")
    axis.set_axisbelow(True)


def _ends(figure: tuple[float, float | None, float | None]) -> list[list[float]] | None:
    """Distances from the value down and up, as matplotlib wants them; none without an interval."""
    value, low, high = figure
    # An order statistic may lie a hair beyond the interpolated median.
    return None if low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]


def _legend(figure: Figure, points: list[Point]) -> None:
    from matplotlib.lines import Line2D

    def sign(shape: str, colour: str, label: str, **more: Any) -> Line2D:
        return Line2D([], [], marker=shape, linestyle="none", color=colour, label=label, **more)

    names = {one.number: one.row.candidate for one in points}
    handles = [
        sign("o", _COLOURS[(number - 1) % len(_COLOURS)], f"{number} {style.label(name)}")
        for number, name in sorted(names.items())
    ]
    for precision in dict.fromkeys(str(one.row.precision.value) for one in points):
        handles.append(sign(_SHAPES.get(precision, "o"), "#999999", precision))
    if not all(one.row.accepted for one in points):
        handles.append(sign("o", "black", "hollow: not accepted in every run", markerfacecolor="white"))
    handles.append(Line2D([], [], color="black", linewidth=0.8, label="Pareto front of accepted artifacts"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
