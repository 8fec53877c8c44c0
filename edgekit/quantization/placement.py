"""Which tensors of a graph are quantized: the rules, and what differs between runtimes.

A tensor is quantized at most once, right behind the node that makes it, and every reader sees the quantized
form. Weights are symmetric INT8 per output channel; activations are asymmetric 8 bit per tensor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

    from edgekit.zoo.state_space import Form

COMPUTE = ("conv1d", "conv2d", "conv3d", "linear")
#: Activations that every runtime fuses into the convolution before them, so nothing is quantized in between.
CLAMPS = ("relu", "relu_", "hardtanh", "hardtanh_", "relu6", "clamp", "clamp_min")
#: Activations that some runtimes compute within the layer before them.
ACTIVATIONS = ("gelu", "silu", "silu_", "hardswish", "hardswish_", "sigmoid")
#: Operators that hand their input's values on, so their output keeps its scale.
MOVES = (
    "flatten", "reshape", "view", "permute", "transpose", "contiguous", "clone", "dropout", "dropout_",
    "max_pool2d", "squeeze", "unsqueeze", "pad", "alias", "detach", "slice", "repeat",
)  # fmt: skip
#: Of these, what a weight may pass on its way to its layer.
_SHAPES = ("flatten", "reshape", "view", "squeeze", "unsqueeze", "select")
ADDS = ("add", "add_")
JOINS = ("cat", "concat", "concatenate", "stack")
SPLITS = ("split", "split_with_sizes", "chunk")
POOLS = ("adaptive_avg_pool2d", "avg_pool2d", "mean")


@dataclass(frozen=True)
class Style:
    """How one runtime wants its quantized program.

    Attributes:
        unsigned: activations as uint8 (x86 kernels) instead of int8; the same ranges either way.
        fold_weights: weights stored as INT8 behind a dequantize node, instead of float behind quantize/dequantize.
        every_output: also quantize a convolution's output when what follows is not fused into it (SiLU, GELU);
            needed where a kernel takes and gives INT8 only.
        linear_output: the same for linear layers; needed where their kernel gives INT8 only.
        bias_apart: add the bias of a linear layer that gives floats in an operator of its own; needed where a
            kernel takes the product alone.
        pools: quantize the inputs and outputs of average pooling.
        symmetric: zero point 0 for every activation, which TensorRT asks for.
        logits: quantize the network's output too; needed where a float output makes the last layer run in float.
        fences: keep a float layer between INT8 tensors in float by a fence before it (see ``rewrites``); needed
            where the runtime would quantize its weight by itself.
        joins: quantize what is put together of quantized tensors; needed where the runtime takes a concatenation
            with one quantized input for an INT8 one.
        own_dequantize: a dequantize node for each reader instead of one for all.
        grouped: quantize convolutions with several groups that are not depthwise.
        most_taps: quantize depthwise convolutions whose kernel has no more values; none: whatever its size.
        worthwhile_taps: the same where a larger kernel is run in INT8, but is faster in BF16.
        lone_depthwise: quantize depthwise convolutions whose input no other INT8 layer makes.
        least_products: quantize convolutions of few channels, such as an image's, that add up as many products.
        plain_depthwise: depthwise convolutions with several kernels a channel become plain ones; this, the next
            ones and ``norms_over`` are in ``runtimes.forms``.
        rows: tokens of images in one row.
        short_moves: several permutations with nothing between them become one.
        channels_last: the runtime keeps images with their channels last, which ``short_moves`` makes use of.
        joined_stacks: stacks become concatenations.
        norms_over: normalization over more values finds its means axis by axis; none: however many.
        scan: how a selective scan is written in standard operators. It is one node while tensors are chosen, so it
            stays in float whole.
    """

    name: str
    unsigned: bool = False
    fold_weights: bool = True
    every_output: bool = True
    linear_output: bool = True
    bias_apart: bool = False
    pools: bool = True
    symmetric: bool = False
    logits: bool = False
    fences: bool = False
    joins: bool = False
    own_dequantize: bool = False
    grouped: bool = True
    most_taps: int | None = None
    worthwhile_taps: int | None = None
    lone_depthwise: bool = True
    least_products: int = 0
    plain_depthwise: bool = False
    rows: bool = False
    short_moves: bool = False
    channels_last: bool = False
    joined_stacks: bool = False
    norms_over: int | None = None
    scan: Form = "recompute"

    @property
    def rewrites(self) -> bool:
        """Whether anything of a float network is written in another form."""
        return (
            self.plain_depthwise
            or self.short_moves
            or self.joined_stacks
            or self.rows
            or self.norms_over is not None
        )

    def of_any_size(self) -> Style:
        """Without the forms that hold for images of one size."""
        return replace(self, rows=False, short_moves=False, joined_stacks=False)

    def as_trained(self) -> Style:
        """Without what is left in float for speed alone: a trained network has learned with its rounding."""
        return replace(
            self,
            linear_output=True,
            bias_apart=False,
            lone_depthwise=True,
            least_products=0,
            worthwhile_taps=None,
        )


#: The program that calibration and bias correction use, and the default of a runtime without special wishes.
PORTABLE = Style("portable")
#: The widest set of tensors that any runtime asks for; calibration keeps the ranges of these.
EVERYTHING = Style("everything", logits=True, joins=True)


def operator(node: Node) -> str:
    """``aten.conv2d.default`` as ``conv2d``; empty for what is not a call of an operator."""
    if node.op != "call_function":
        return ""
    name = str(node.target)
    return name.split(".")[1] if name.startswith("aten.") else name


def is_float_tensor(node: Node) -> bool:
    """Whether the node makes one float32 tensor."""
    import torch

    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def compute_nodes(graph: GraphModule, keep_float: tuple[str, ...] = ()) -> list[Node]:
    """Convolutions and linear layers with a constant weight, in order, less those kept in float.

    And less those whose input is constant as well, such as networks that make biases of positions: left in float,
    the runtimes compute them once.
    """
    nodes = []
    varying: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder" or not varying.isdisjoint(node.all_input_nodes):
            varying.add(node)
        else:
            continue
        if operator(node) in COMPUTE and _is_constant(node.args[1]) and layer_name(node) not in keep_float:
            nodes.append(node)
    return nodes


def layer_name(node: Node) -> str:
    """The name of the module that holds the layer's weight, as in the network's ``state_dict``."""
    weight: Any = node.args[1]
    while weight.op == "call_function":
        weight = weight.args[0]
    return str(weight.target).rpartition(".")[0] or str(weight.target)


def tensors(graph: GraphModule, style: Style, keep_float: tuple[str, ...] = ()) -> dict[str, str]:
    """The tensors to quantize: node name -> name of the node whose range it uses."""
    chosen: dict[str, str] = {}

    def root(node: Node) -> Node:
        while operator(node) in MOVES and isinstance(node.args[0], type(node)):
            node = node.args[0]
        return node

    layers = compute_nodes(graph, keep_float)
    in_int8 = {fused_end(one) for one in layers}
    # Those whose result is INT8 whatever reads it.
    giving = [one for one in layers if style.linear_output or operator(one) != "linear"]

    def choose(node: Any) -> None:
        if not hasattr(node, "meta") or not is_float_tensor(node) or _is_constant(node):
            return
        start = root(node)
        if not is_float_tensor(start) or _is_constant(start):
            return
        # Every node on the way is quantized with the root's range, so the moves run in 8 bit as well. What a layer
        # in float makes is pooled in float: there are fewer values to quantize behind it.
        while True:
            chosen[node.name] = start.name
            if node is start or (operator(node) == "max_pool2d" and start not in in_int8):
                return
            node = node.args[0]

    for node in layers:
        choose(node.args[0])
        end = fused_end(node)
        if ((style.every_output and node in giving) or _is_stacked(end)) and (style.logits or not _is_output(end)):
            choose(end)
    for node in graph.graph.nodes:
        kind = operator(node)
        if kind in ADDS and len(node.all_input_nodes) == 2:
            # A residual sum in float between two quantized convolutions costs more than it saves. One that a layer
            # kept in float adds to stays in float with it, or its result would be rounded after all.
            roots = [root(one) for one in node.all_input_nodes]
            quantized = [one.name in chosen or one in giving for one in roots]
            if any(quantized) and all(
                known or operator(one) in ADDS for known, one in zip(quantized, roots, strict=True)
            ):
                for one in node.all_input_nodes:
                    choose(one)
                choose(fused_end(node))
        elif kind in POOLS and style.pools and root(node.args[0]).name in chosen:
            choose(node.args[0])
            choose(node)
        elif kind in JOINS and style.joins and any(root(one).name in chosen for one in node.all_input_nodes):
            for one in (*node.all_input_nodes, node):
                choose(one)
    return chosen


def fused_end(node: Node) -> Node:
    """The clamp behind ``node`` when it is its only reader, else ``node``."""
    users = list(node.users)
    return users[0] if len(users) == 1 and operator(users[0]) in CLAMPS else node


def _is_stacked(node: Node) -> bool:
    """Whether ``node`` gets one more axis, past which OpenVINO moves the scales of a layer's channels wrongly."""
    return any(operator(user) in ("stack", "unsqueeze") for user in node.users)


def _is_constant(node: Any) -> bool:
    """Whether it is a tensor of the network, as it is or in another shape."""
    while getattr(node, "op", "") == "call_function" and operator(node) in _SHAPES:
        node = node.args[0]
    return getattr(node, "op", "") == "get_attr"


def _is_output(node: Node) -> bool:
    return any(user.op == "output" for user in node.users)


def constant(graph: GraphModule, node: Any) -> torch.Tensor:
    """The value of a constant, in the shape in which ``node`` gives it."""
    if node.op == "call_function":
        changed: torch.Tensor = node.target(constant(graph, node.args[0]), *node.args[1:], **node.kwargs)
        return changed
    value: Any = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    found: torch.Tensor = value.detach()
    return found


def weight_of(graph: GraphModule, node: Node) -> torch.Tensor:
    """The constant weight of a compute node, in the shape in which the node reads it."""
    return constant(graph, node.args[1])
