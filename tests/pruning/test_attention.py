from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.data.base import Preprocessing
from edgekit.model import Model, create
from edgekit.passes import Context, Prune
from edgekit.pruning import attention
from edgekit.pruning.importance import Scorer
from edgekit.pruning.removal import remove
from edgekit.recipe import ModelConfig


def transformer() -> Model:
    config = ModelConfig(
        architecture="vit_tiny_patch16_224", arguments={"img_size": 32, "depth": 2, "embed_dim": 48, "num_heads": 3}
    )
    return create(config, ("a", "b", "c"), Preprocessing(size=(32, 32)), None)[0]


def test_products_of_queries_and_keys_stay() -> None:
    """Against attention written out, with the dropped dimensions zeroed."""
    module: Any = copy.deepcopy(transformer().network.get_submodule("blocks.0.attn"))
    network = nn.ModuleDict({"attn": module})
    group = attention.group("attn", module, Scorer("l2", network))
    assert group is not None
    assert (group.size, group.width) == (16, 3)
    removed = {group.name: [0, 1, 2, 3, 7]}
    small: Any = copy.deepcopy(network)
    remove(small, [group], removed)
    assert small["attn"].qkv.weight.shape == (3 * 3 * 11, 48)
    assert small["attn"].proj.weight.shape == (48, 33)
    assert (small["attn"].head_dim, small["attn"].attn_dim, small["attn"].scale) == (11, 33, 11**-0.5)
    tokens = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    gone = [i for unit in removed[group.name] for i in group.members[0].units[unit]]
    with torch.no_grad():
        rows: Tensor = module.qkv(tokens)
        rows[..., gone] = 0
        query, key, value = rows.reshape(2, 5, 3, 3, 16).permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) / 16**0.5).softmax(-1)
        expected = module.proj((weights @ value).transpose(1, 2).reshape(2, 5, 48))
        torch.testing.assert_close(small["attn"](tokens), expected)
        small["attn"].fused_attn = False
        torch.testing.assert_close(small["attn"](tokens), expected)


def test_each_head_keeps_its_own_dimensions() -> None:
    module: Any = transformer().network.get_submodule("blocks.0.attn")
    with torch.no_grad():
        for head, weak in enumerate((3, 9, 14)):
            for part in (0, 1):
                module.qkv.weight[part * 48 + head * 16 + weak] = 0
    group = attention.group("attn", module, Scorer("l2", nn.ModuleDict({"attn": module})))
    assert group is not None
    first = group.members[0].units[0]
    assert first[:6] == (3, 16 + 9, 32 + 14, 48 + 3, 48 + 16 + 9, 48 + 32 + 14)
    every = [i for unit in group.members[0].units for i in unit]
    assert sorted(every) == list(range(3 * 48))
    assert sorted(i for unit in group.members[1].units for i in unit) == list(range(48))


def test_heads_widths_and_tokens_of_a_vision_transformer(prepared_none: Context) -> None:
    model = transformer()
    outcome = Prune(ratio=0.5, round_to=8, keep_first=False).apply(model, prepared_none)
    assert outcome.changes["left"] == {}
    changed = outcome.changes["channels"]
    assert changed["blocks.0.attn.qkv"] == [144, 72]
    assert changed["blocks.0.mlp.fc1"] == [192, 96]
    assert changed["blocks.0.mlp.fc2"] == changed["patch_embed.proj"] == [48, 24]
    assert outcome.model.network.get_parameter("pos_embed").shape == (1, 5, 24)
    assert outcome.changes["steps"][0]["largest_difference_to_masked"] < 1e-6
    kept = Prune(ratio=0.5, round_to=8).apply(model, prepared_none).changes
    assert kept["channels"].keys() == {f"blocks.{i}.{name}" for i in (0, 1) for name in ("attn.qkv", "mlp.fc1")}


def test_normalized_heads_are_left_alone(prepared_none: Context) -> None:
    model = transformer()
    module: Any = model.network.get_submodule("blocks.0.attn")
    module.q_norm = nn.LayerNorm(16)
    outcome = Prune(ratio=0.5, round_to=8).apply(model, prepared_none)
    assert "blocks.0.attn.qkv" not in outcome.changes["channels"]
    assert "blocks.1.attn.qkv" in outcome.changes["channels"]
    assert "blocks.0.attn.qkv" in outcome.changes["left"]


def test_layers_inside_other_attentions() -> None:
    class OtherAttention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.proj = nn.Linear(4, 4), nn.Linear(4, 4)

    network = nn.ModuleDict({"mixer": OtherAttention(), "mlp": nn.Linear(4, 4)})
    assert attention.inner_layers(network) == {"mixer.q"}
    assert attention.inner_layers(transformer().network) == frozenset()
