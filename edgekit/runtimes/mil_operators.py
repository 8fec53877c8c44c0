"""What each operator of a Core ML program (MIL) computes, written with torch in float32.

After the operators' definitions in coremltools' documentation ("MIL Ops"), for those that edgekit's networks
become. Each function takes the operator's arguments by name; a tensor is a ``torch.Tensor``, what the file holds as
a number, a word or a list is a Python value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgekit.errors import UnsupportedError

Operator = Callable[..., Any]
OPERATORS: dict[str, Operator] = {}


def _operator(*names: str) -> Callable[[Operator], Operator]:
    def register(function: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return register


def _not_here(operator: str, argument: str, value: object) -> UnsupportedError:
    return UnsupportedError(
        f"edgekit's reference for Core ML has no {operator} with {argument}={value!r}",
        remedy="the file may be right all the same: compare it on a Mac, where Core ML itself runs it",
    )


# Convolutions and pooling


def _padding(
    pad_type: str, pad: Sequence[int] | None, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int]
) -> list[tuple[int, int]]:
    """What is added before and after each spatial axis; ``kernel`` with its dilation."""
    if pad_type == "valid":
        return [(0, 0)] * len(size)
    if pad_type == "custom":
        given = list(pad or [0] * 2 * len(size))
        return list(zip(given[::2], given[1::2], strict=True))
    both = []
    for length, reach, step in zip(size, kernel, stride, strict=True):
        whole = max((-(-length // step) - 1) * step + reach - length, 0)
        less, more = whole // 2, whole - whole // 2
        both.append((less, more) if pad_type == "same" else (more, less))
    return both


def _padded(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """``x`` with its last axes filled up."""
    flat = [amount for pair in reversed(pads) for amount in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


@_operator("conv")
def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Tensor:
    axes = x.dim() - 2
    stride, dilation = tuple(strides or [1] * axes), tuple(dilations or [1] * axes)
    reach = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
    pads = _padding(pad_type, pad, x.shape[2:], reach, stride)
    even = all(before == after for before, after in pads)  # torch then pads by itself, which is quicker
    run = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    inside = tuple(before for before, _ in pads) if even else 0
    return run(x if even else _padded(x, pads), weight, bias, stride, inside, dilation, groups)


@_operator("conv_transpose")
def _conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None,
    dilations: Sequence[int] | None = None,
    groups: int = 1,
) -> Tensor:
    axes = x.dim() - 2
    stride, dilation = tuple(strides or [1] * axes), tuple(dilations or [1] * axes)
    if pad_type not in ("valid", "custom"):
        raise _not_here("conv_transpose", "pad_type", pad_type)
    run = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
    whole = run(x, weight, bias, stride, 0, 0, groups, dilation)
    cuts = _padding(pad_type, pad, x.shape[2:], (), ())
    for axis, (before, after) in enumerate(cuts, 2):
        length = whole.shape[axis] - before - after
        if output_shape is not None:
            # What torch calls output padding: more than the full size is filled by the bias alone.
            length = output_shape[axis]
            lacking = before + length - whole.shape[axis]
            if lacking > 0:
                raise _not_here("conv_transpose", "output_shape", list(output_shape))
        whole = whole.narrow(axis, before, length)
    return whole


@_operator("max_pool")
def _max_pool(
    x: Tensor,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    ceil_mode: bool = False,
) -> Tensor:
    axes = len(kernel_sizes)
    stride = tuple(strides or [1] * axes)
    x = _padded(x, _padding(pad_type, pad, x.shape[2:], kernel_sizes, stride), -torch.inf)
    run = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    result: Tensor = run(x, tuple(kernel_sizes), stride, ceil_mode=ceil_mode)
    return result


@_operator("avg_pool")
def _avg_pool(
    x: Tensor,
    kernel_sizes: Sequence[int],
    strides: Sequence[int] | None = None,
    pad_type: str = "valid",
    pad: Sequence[int] | None = None,
    exclude_padding_from_average: bool = False,
    ceil_mode: bool = False,
) -> Tensor:
    axes = len(kernel_sizes)
    stride = tuple(strides or [1] * axes)
    run = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
    pads = _padding(pad_type, pad, x.shape[2:], kernel_sizes, stride)
    if ceil_mode:
        # Defined as PyTorch's, and only where both sides are padded alike.
        both = [before for before, after in pads if before == after]
        if len(both) < axes:
            raise _not_here("avg_pool", "ceil_mode", value=True)
        return run(x, tuple(kernel_sizes), stride, both, True, not exclude_padding_from_average)
    mean: Tensor = run(_padded(x, pads), tuple(kernel_sizes), stride)
    if exclude_padding_from_average and any(map(any, pads)):
        mean = mean / run(_padded(torch.ones_like(x), pads), tuple(kernel_sizes), stride)
    return mean


@_operator("upsample_bilinear")
def _upsample_bilinear(
    x: Tensor,
    scale_factor_height: float = 1,
    scale_factor_width: float = 1,
    align_corners: bool = True,
    half_pixel_centers: bool | None = None,
) -> Tensor:
    if half_pixel_centers is not None and half_pixel_centers == align_corners:
        raise _not_here("upsample_bilinear", "half_pixel_centers", half_pixel_centers)
    size = [int(x.shape[-2] * scale_factor_height), int(x.shape[-1] * scale_factor_width)]
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@_operator("resize_bilinear")
def _resize_bilinear(
    x: Tensor, target_size_height: int = 1, target_size_width: int = 1, sampling_mode: str = "DEFAULT"
) -> Tensor:
    aligned = {"STRICT_ALIGN_CORNERS": True, "UNALIGN_CORNERS": False}
    if sampling_mode not in aligned:
        raise _not_here("resize_bilinear", "sampling_mode", sampling_mode)
    size = [target_size_height, target_size_width]
    return F.interpolate(x, size, mode="bilinear", align_corners=aligned[sampling_mode])


@_operator("upsample_nearest_neighbor")
def _upsample_nearest(x: Tensor, scale_factor_height: float = 1, scale_factor_width: float = 1) -> Tensor:
    if scale_factor_height % 1 or scale_factor_width % 1:
        raise _not_here("upsample_nearest_neighbor", "scale_factor", (scale_factor_height, scale_factor_width))
    return x.repeat_interleave(int(scale_factor_height), -2).repeat_interleave(int(scale_factor_width), -1)


# Products


@_operator("linear")
def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return F.linear(x, weight, bias)


@_operator("matmul")
def _matmul(x: Tensor, y: Tensor, transpose_x: bool = False, transpose_y: bool = False) -> Tensor:
    return (x.mT if transpose_x else x) @ (y.mT if transpose_y else y)


@_operator("einsum")
def _einsum(values: Sequence[Tensor], equation: str) -> Tensor:
    result: Tensor = torch.einsum(equation, *values)
    return result


# Normalization


def _per_channel(values: Tensor, like: Tensor, axis: int = 1) -> Tensor:
    shape = [1] * like.dim()
    shape[axis] = -1
    return values.reshape(shape)


@_operator("batch_norm")
def _batch_norm(
    x: Tensor,
    mean: Tensor,
    variance: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    return F.batch_norm(x, mean, variance, gamma, beta, eps=epsilon)


@_operator("instance_norm")
def _instance_norm(
    x: Tensor, gamma: Tensor | None = None, beta: Tensor | None = None, epsilon: float = 1e-5
) -> Tensor:
    return F.instance_norm(x, weight=gamma, bias=beta, eps=epsilon)


@_operator("layer_norm")
def _layer_norm(
    x: Tensor,
    axes: Sequence[int] | None = None,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    over = sorted(axis % x.dim() for axis in (axes or range(x.dim())))
    variance, mean = torch.var_mean(x, over, correction=0, keepdim=True)
    shape = [x.shape[axis] if axis in over else 1 for axis in range(x.dim())]
    normal = (x - mean) * torch.rsqrt(variance + epsilon)
    if gamma is not None:
        normal = normal * gamma.reshape(shape)
    return normal if beta is None else normal + beta.reshape(shape)


@_operator("l2_norm")
def _l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    over = tuple(range(max(x.dim() - 3, 0), x.dim()))
    return x / torch.sqrt((x * x).sum(over, keepdim=True) + epsilon)


@_operator("softmax")
def _softmax(x: Tensor, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


# One value in, one value out


def _unary(function: Callable[[Tensor], Tensor]) -> Operator:
    return lambda x: function(x)


OPERATORS.update(
    {
        "abs": _unary(torch.abs),
        "ceil": _unary(torch.ceil),
        "cos": _unary(torch.cos),
        "erf": _unary(torch.erf),
        "exp": _unary(torch.exp),
        "exp2": _unary(torch.exp2),
        "floor": _unary(torch.floor),
        "identity": _unary(lambda x: x),
        "logical_not": _unary(torch.logical_not),
        "relu": _unary(torch.relu),
        "relu6": _unary(F.relu6),
        "round": _unary(torch.round),
        "sigmoid": _unary(torch.sigmoid),
        "sign": _unary(torch.sign),
        "silu": _unary(F.silu),
        "sin": _unary(torch.sin),
        "softplus": _unary(lambda x: torch.logaddexp(x, torch.zeros(()))),
        "softsign": _unary(F.softsign),
        "sqrt": _unary(torch.sqrt),
        "square": _unary(torch.square),
        "tanh": _unary(torch.tanh),
    }
)


@_operator("rsqrt")
def _rsqrt(x: Tensor, epsilon: float = 1e-12) -> Tensor:
    return torch.rsqrt(x + epsilon)


@_operator("inverse")
def _inverse(x: Tensor, epsilon: float = 1e-4) -> Tensor:
    return 1 / (x + epsilon)


@_operator("log")
def _log(x: Tensor, epsilon: float = 1e-45) -> Tensor:
    return torch.log(x + epsilon)


@_operator("gelu")
def _gelu(x: Tensor, mode: str = "EXACT") -> Tensor:
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="none" if mode == "EXACT" else "tanh")


@_operator("elu")
def _elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@_operator("leaky_relu")
def _leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@_operator("prelu")
def _prelu(x: Tensor, alpha: Tensor) -> Tensor:
    return F.prelu(x, alpha)


@_operator("thresholded_relu")
def _thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x >= alpha, x, 0.0)


@_operator("threshold")
def _threshold(x: Tensor, alpha: float) -> Tensor:
    return x.clamp(min=alpha)


@_operator("clip")
def _clip(x: Tensor, alpha: float, beta: float) -> Tensor:
    return x.clamp(alpha, beta)


@_operator("sigmoid_hard")
def _sigmoid_hard(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return (alpha * x + beta).clamp(0, 1)


@_operator("cast")
def _cast(x: Tensor, dtype: str) -> Tensor:
    kinds = {"fp32": torch.float32, "fp16": torch.float32, "bool": torch.bool, "int32": torch.int32}
    if dtype not in kinds:
        raise _not_here("cast", "dtype", dtype)
    return torch.as_tensor(x).to(kinds[dtype])  # fp16: rounded where the result is kept


# Two values in


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return lambda x, y: function(torch.as_tensor(x), torch.as_tensor(y))


OPERATORS.update(
    {
        "add": _binary(torch.add),
        "equal": _binary(torch.eq),
        "floor_div": _binary(torch.floor_divide),
        "greater": _binary(torch.gt),
        "greater_equal": _binary(torch.ge),
        "less": _binary(torch.lt),
        "less_equal": _binary(torch.le),
        "logical_and": _binary(torch.logical_and),
        "logical_or": _binary(torch.logical_or),
        "maximum": _binary(torch.maximum),
        "minimum": _binary(torch.minimum),
        "mod": _binary(torch.remainder),
        "mul": _binary(torch.mul),
        "not_equal": _binary(torch.ne),
        "pow": _binary(torch.pow),
        "real_div": _binary(torch.true_divide),
        "sub": _binary(torch.sub),
    }
)


@_operator("select")
def _select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(torch.as_tensor(cond).bool(), torch.as_tensor(a), torch.as_tensor(b))


# Reductions


def _reduction(function: Callable[..., Tensor]) -> Operator:
    def reduce(x: Tensor, axes: Sequence[int] | None = None, keep_dims: bool = False) -> Tensor:
        return function(x, tuple(axes or range(x.dim())), keepdim=keep_dims)

    return reduce


OPERATORS.update(
    {
        "reduce_l2_norm": _reduction(lambda x, axes, keepdim: torch.linalg.vector_norm(x, 2, axes, keepdim)),
        "reduce_log_sum_exp": _reduction(torch.logsumexp),
        "reduce_max": _reduction(torch.amax),
        "reduce_mean": _reduction(torch.mean),
        "reduce_min": _reduction(torch.amin),
        "reduce_sum": _reduction(torch.sum),
    }
)


@_operator("reduce_sum_square")
def _reduce_sum_square(x: Tensor, axes: Sequence[int] | None = None, keep_dims: bool = False) -> Tensor:
    return (x * x).sum(tuple(axes or range(x.dim())), keepdim=keep_dims)


@_operator("reduce_argmax")
def _reduce_argmax(x: Tensor, axis: int = -1, keep_dims: bool = False) -> Tensor:
    return x.argmax(axis, keep_dims)


@_operator("cumsum")
def _cumsum(x: Tensor, axis: int = 0, exclusive: bool = False, reverse: bool = False) -> Tensor:
    along = x.flip(axis) if reverse else x
    total = along.cumsum(axis)
    total = total - along if exclusive else total
    return total.flip(axis) if reverse else total


# Shapes


@_operator("reshape")
def _reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    return x.reshape([x.shape[axis] if size == 0 else int(size) for axis, size in enumerate(shape)])


@_operator("transpose")
def _transpose(x: Tensor, perm: Sequence[int]) -> Tensor:
    return x.permute(*perm)


@_operator("squeeze")
def _squeeze(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(axes))


@_operator("expand_dims")
def _expand_dims(x: Tensor, axes: Sequence[int]) -> Tensor:
    rank = x.dim() + len(axes)
    for axis in sorted(one % rank for one in axes):
        x = x.unsqueeze(axis)
    return x


@_operator("concat")
def _concat(values: Sequence[Tensor], axis: int, interleave: bool = False) -> Tensor:
    if interleave:
        raise _not_here("concat", "interleave", value=True)
    return torch.cat([torch.as_tensor(one) for one in values], axis)


@_operator("stack")
def _stack(values: Sequence[Tensor], axis: int) -> Tensor:
    return torch.stack([torch.as_tensor(one) for one in values], axis)


@_operator("split")
def _split(
    x: Tensor, axis: int, num_splits: int | None = None, split_sizes: Sequence[int] | None = None
) -> tuple[Tensor, ...]:
    if split_sizes is None:
        return x.chunk(int(num_splits or 1), axis)
    return torch.split(x, [int(size) for size in split_sizes], axis)


@_operator("slice_by_index")
def _slice_by_index(
    x: Tensor,
    begin: Sequence[int],
    end: Sequence[int],
    stride: Sequence[int] | None = None,
    begin_mask: Sequence[bool] | None = None,
    end_mask: Sequence[bool] | None = None,
    squeeze_mask: Sequence[bool] | None = None,
) -> Tensor:
    whole = [False] * x.dim()
    for axis in range(x.dim()):
        step = int((stride or [1] * x.dim())[axis])
        if (squeeze_mask or whole)[axis]:
            x = x.narrow(axis, int(begin[axis]) % x.shape[axis], 1)
            continue
        start = None if (begin_mask or whole)[axis] else int(begin[axis])
        stop = None if (end_mask or whole)[axis] else int(end[axis])
        rows = range(x.shape[axis])[slice(start, stop, step)]
        if step == 1:
            x = x.narrow(axis, rows.start, len(rows))
        else:
            x = x.index_select(axis, torch.tensor(list(rows), dtype=torch.int64))
    return x.squeeze(tuple(axis for axis, out in enumerate(squeeze_mask or whole) if out))


@_operator("slice_by_size")
def _slice_by_size(x: Tensor, begin: Sequence[int], size: Sequence[int]) -> Tensor:
    for axis, (start, length) in enumerate(zip(begin, size, strict=True)):
        x = x.narrow(axis, int(start), x.shape[axis] - int(start) if length == -1 else int(length))
    return x


@_operator("reverse")
def _reverse(x: Tensor, axes: Sequence[int] | None = None) -> Tensor:
    return x.flip(tuple(axes) if axes is not None else tuple(range(x.dim())))


@_operator("tile")
def _tile(x: Tensor, reps: Sequence[int]) -> Tensor:
    return x.repeat(*reps)


@_operator("pad")
def _pad(x: Tensor, pad: Sequence[int], mode: str = "constant", constant_val: float = 0.0) -> Tensor:
    flat = [int(amount) for pair in reversed(list(zip(pad[::2], pad[1::2], strict=True))) for amount in pair]
    if mode == "constant":
        return F.pad(x, flat, value=constant_val)
    while len(flat) > 2 and not any(flat[-2:]):
        flat = flat[:-2]
    return F.pad(x, flat, mode=mode)


@_operator("gather")
def _gather(x: Tensor, indices: Any, axis: int = 0, batch_dims: int = 0, validate_indices: bool = False) -> Tensor:
    if batch_dims:
        raise _not_here("gather", "batch_dims", batch_dims)
    x, at = torch.as_tensor(x), torch.as_tensor(indices, dtype=torch.int64)
    at = torch.where(at < 0, at + x.shape[axis], at)
    rows = x.index_select(axis, at.flatten())
    axis %= x.dim()
    return rows.reshape(*x.shape[:axis], *at.shape, *x.shape[axis + 1 :])


@_operator("fill")
def _fill(shape: Sequence[int], value: float = 0.0) -> Tensor:
    return torch.full([int(size) for size in shape], value)


@_operator("shape")
def _shape(x: Tensor) -> list[int]:
    return list(x.shape)


# Quantization


@_operator("quantize")
def _quantize(
    input: Tensor,  # noqa: A002  (MIL's name)
    scale: Any,
    output_dtype: str,
    zero_point: Any = None,
    axis: int | None = None,
) -> Tensor:
    kinds = {"int8": (torch.int8, -128, 127), "uint8": (torch.uint8, 0, 255)}
    if output_dtype not in kinds:
        raise _not_here("quantize", "output_dtype", output_dtype)
    kind, least, greatest = kinds[output_dtype]
    steps, zero = _steps(input, scale, zero_point, axis)
    return torch.round(input / steps + zero).clamp(least, greatest).to(kind)


@_operator("dequantize")
def _dequantize(
    input: Tensor,  # noqa: A002  (MIL's name)
    scale: Any,
    zero_point: Any = None,
    axis: int | None = None,
) -> Tensor:
    steps, zero = _steps(input, scale, zero_point, axis)
    values: Tensor = (input.float() - zero) * steps
    return values


@_operator("constexpr_affine_dequantize")
def _constexpr_affine_dequantize(quantized_data: Tensor, zero_point: Any, scale: Any, axis: int) -> Tensor:
    values: Tensor = _dequantize(quantized_data, scale, zero_point, axis)
    return values


@_operator("constexpr_blockwise_shift_scale")
def _constexpr_blockwise_shift_scale(data: Tensor, scale: Tensor, offset: Tensor | None = None) -> Tensor:
    def spread(values: Tensor) -> Tensor:
        for axis, (size, blocks) in enumerate(zip(data.shape, values.shape, strict=True)):
            values = values.repeat_interleave(size // blocks, axis)
        return values.float()

    zero = 0.0 if offset is None else spread(torch.as_tensor(offset))
    return (data.float() - zero) * spread(torch.as_tensor(scale))


def _steps(like: Tensor, scale: Any, zero_point: Any, axis: int | None) -> tuple[Tensor, Tensor]:
    steps = torch.as_tensor(scale, dtype=torch.float32)
    zero = torch.as_tensor(0 if zero_point is None else zero_point).float()
    if steps.dim() == 0:
        return steps, zero
    along = 0 if axis is None else axis
    return _per_channel(steps, like, along), _per_channel(zero, like, along) if zero.dim() else zero
