"""Run a network on many images with any of its layers quantized and the others in float.

What quantizing a layer leaves as it was is not computed again: the float values of every node are kept for some
images at a time, and of each quantized form only the nodes behind its first change are run. With the layers
quantized one at a time that is about half the network each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.quantization import placement, program
from edgekit.quantization.placement import PORTABLE
from edgekit.quantization.program import Range
from edgekit.quantization.scheme import Scheme

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from edgekit.model import Model

#: Images at once: no more than these, and no more than their float values fit in.
_IMAGES = 64
_BYTES = 256 << 20

Deltas = Mapping[str, NDArray[np.float32]]


@dataclass
class _Plan:
    """One quantized form of the graph: the nodes that differ from float, in order, and where each is last read."""

    interpreter: torch.fx.Interpreter
    steps: list[Node]
    done_with: dict[Node, list[Node]]
    logits: Node
    #: By node: what is added to the layer's output, which is what a corrected bias does.
    shifts: dict[str, torch.Tensor]


class Partial:
    """The network on batches of images; see the module.

    Attributes:
        single: the float graph for one image, as the artifacts have it.
        layers: names of the layers that can be quantized, in order.
        macs: multiply-adds of each of them for one image.
        batch: images that are run at once.
    """

    def __init__(self, model: Model, spans: dict[str, Range], scheme: Scheme, images: int) -> None:
        """
        Args:
            model: a float model.
            spans: from ``calibration.ranges``.
            scheme: as the model will be quantized.
            images: how many will be run.
        """
        self.single = program.float_graph(model)
        self._spans, self._scheme = spans, scheme
        self.batch = max(1, min(images, _IMAGES, _BYTES // max(1, _bytes(self.single))))
        self._graph = self.single
        if self.batch > 1:
            wide = program.float_graph(model, self.batch)
            # Ranges are found by the names of nodes. A network that is traced otherwise for more images, which is
            # rare, is run image by image.
            same = _nodes(wide) == _nodes(self.single)
            self._graph, self.batch = (wide, self.batch) if same else (self.single, 1)
        self._names = [node.name for node in self._graph.graph.nodes]
        self._input = next(node.name for node in self._graph.graph.nodes if node.op == "placeholder")
        self._float = _plan(self._graph, frozenset(), {})
        self._owners = {node.name: placement.layer_name(node) for node in placement.compute_nodes(self._graph)}
        self.macs: dict[str, int] = {}
        for node in placement.compute_nodes(self.single):
            weight = placement.weight_of(self.single, node)
            count = node.meta["val"].numel() * weight[0].numel()
            name = placement.layer_name(node)
            self.macs[name] = self.macs.get(name, 0) + count
        self.layers = tuple(self.macs)

    def together(self, inputs: torch.Tensor, keep_float: tuple[str, ...], deltas: Deltas) -> NDArray[np.float32]:
        """Logits ``float32[n, K, ...]`` with all layers but ``keep_float`` quantized and their biases corrected."""
        import torch

        graph = self._quantized(keep_float)
        shifts = {}
        for node in graph.graph.nodes:
            if self._owners.get(node.name) in deltas:
                shifts[node.name] = _along_channels(torch.from_numpy(deltas[self._owners[node.name]]), node)
        plan = _plan(graph, frozenset(), shifts)
        rows = [self._run(plan, {self._input: part}, plan.logits)[:count] for part, count in self._parts(inputs)]
        return np.concatenate([row.numpy() for row in rows])

    def alone(
        self, inputs: torch.Tensor, correct_on: torch.Tensor | None, progress: Callable[[float], None]
    ) -> Iterator[tuple[int, str | None, NDArray[np.float32]]]:
        """Logits of the float network, and with each layer alone quantized, part by part of the images.

        Args:
            inputs: ``float32[n, C, *spatial]``.
            correct_on: images on which the quantized layer's bias is corrected; none to leave it.
            progress: called with the fraction done.

        Returns:
            For each part the index of its first image with none and the float network's logits, and then with the
            name of each layer and its logits.
        """
        same = frozenset(self._names)
        plans = {
            name: _plan(self._quantized(tuple(other for other in self.layers if other != name)), same, {})
            for name in self.layers
        }
        if correct_on is not None:
            self._correct(plans, correct_on)
        total = -(-len(inputs) // self.batch) * len(plans)
        for index, (part, count) in enumerate(self._parts(inputs)):
            start = index * self.batch
            values = self._values(part)
            yield start, None, values[self._float.logits.name][:count].numpy()
            for at, (name, plan) in enumerate(plans.items()):
                yield start, name, self._run(plan, values, plan.logits)[:count].numpy()
                progress((index * len(plans) + at + 1) / total)

    def _correct(self, plans: dict[str, _Plan], images: torch.Tensor) -> None:
        """Set the shifts that give each channel of each layer its mean in float, as ``correct_biases`` does."""
        sums: dict[str, dict[str, torch.Tensor]] = {name: {} for name in plans}
        for part, count in self._parts(images):
            values = self._values(part)
            for name, plan in plans.items():
                for node in plan.steps:
                    if self._owners.get(node.name) != name or len(node.args) < 3 or not node.args[2]:
                        continue
                    difference = (values[node.name] - self._run(plan, values, node))[:count]
                    axes = [a for a in range(difference.ndim) if a != _channel_axis(node)]
                    mean = difference.double().mean(dim=axes) * (count / len(images))
                    sums[name][node.name] = sums[name].get(node.name, 0.0) + mean
        nodes = {node.name: node for node in self._graph.graph.nodes}
        for name, means in sums.items():
            plans[name].shifts = {one: _along_channels(mean.float(), nodes[one]) for one, mean in means.items()}

    def _quantized(self, keep_float: tuple[str, ...]) -> GraphModule:
        return program.insert(copied(self._graph), self._spans, PORTABLE, keep_float, self._scheme)

    def _parts(self, inputs: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
        """Batches of the graph's size, the last one filled up with its first image, and how many images count."""
        import torch

        for start in range(0, len(inputs), self.batch):
            part = inputs[start : start + self.batch]
            missing = self.batch - len(part)
            yield torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) if missing else part, len(part)

    def _values(self, part: torch.Tensor) -> dict[str, Any]:
        """The value of every node in float, by name."""
        values: dict[str, Any] = {self._input: part}
        self._run(self._float, values, self._float.logits, kept=values)
        return values

    def _run(
        self, plan: _Plan, clean: Mapping[str, Any], wanted: Node, kept: dict[str, Any] | None = None
    ) -> torch.Tensor:
        """The value of ``wanted``; what is not a step of ``plan`` is taken from ``clean``."""
        import torch

        interpreter = plan.interpreter
        values: dict[Node, Any] = {}
        interpreter.env = values
        with torch.no_grad():
            for node in plan.steps:
                for used in node.all_input_nodes:
                    if used not in values:
                        values[used] = clean[used.name]
                arguments, keywords = interpreter.fetch_args_kwargs_from_env(node)
                if _works_in_place(node):
                    # It would spoil the value that others start from.
                    arguments = (arguments[0].clone(), *arguments[1:])
                value = getattr(interpreter, node.op)(node.target, arguments, keywords)
                if node.name in plan.shifts:
                    value = value + plan.shifts[node.name]
                values[node] = value
                if kept is not None and node.op != "get_attr":
                    kept[node.name] = value
                if node is wanted:
                    break
                for used in plan.done_with.get(node, []):
                    values.pop(used, None)
        found: torch.Tensor = values[wanted] if wanted in values else clean[wanted.name]
        return found


def _plan(graph: GraphModule, same: frozenset[str], shifts: dict[str, torch.Tensor]) -> _Plan:
    """What must be run of ``graph`` when the nodes ``same`` are as in float as long as their inputs are."""
    import torch

    changed: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op in ("placeholder", "output", "get_attr"):
            continue
        if node.name not in same or any(one in changed for one in node.all_input_nodes):
            changed.add(node)
    constants = {one for node in changed for one in node.all_input_nodes if one.op == "get_attr"}
    steps = [node for node in graph.graph.nodes if node in changed or node in constants]
    logits = graph.graph.output_node().all_input_nodes[0]
    done_with: dict[Node, list[Node]] = {}
    seen = {logits}
    for node in reversed(steps):
        for used in node.all_input_nodes:
            if used not in seen:
                seen.add(used)
                done_with.setdefault(node, []).append(used)
    return _Plan(torch.fx.Interpreter(graph), steps, done_with, logits, shifts)


def _works_in_place(node: Node) -> bool:
    name = placement.operator(node)
    return name.endswith("_") and not name.endswith("__")


def _channel_axis(node: Node) -> int:
    return int(node.meta["val"].ndim) - 1 if placement.operator(node) == "linear" else 1


def _along_channels(values: torch.Tensor, node: Node) -> torch.Tensor:
    """``values`` ``[channels]`` in a shape that adds to the output of ``node``."""
    return values.view([-1 if axis == _channel_axis(node) else 1 for axis in range(node.meta["val"].ndim)])


def copied(graph: GraphModule) -> GraphModule:
    """A graph of its own over the same tensors, to insert into."""
    import torch

    own = torch.fx.Graph()
    own.output(own.graph_copy(graph.graph, {}))
    return torch.fx.GraphModule(graph, own)


def _nodes(graph: GraphModule) -> list[tuple[str, str, str]]:
    return [(node.op, node.name, str(node.target)) for node in graph.graph.nodes]


def _bytes(graph: GraphModule) -> int:
    """Memory of all float values of one image."""
    nodes = graph.graph.nodes
    return sum(4 * n.meta["val"].numel() for n in nodes if n.op == "call_function" and placement.is_float_tensor(n))
