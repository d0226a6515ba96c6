"""Parameter names: ours, and the original release's, both ways.

Names are a contract: users must be able to load the published files. The original's names appear only in
this file. There are three layouts:

* ``lvt``: a whole model of ours (``backbone.stages.0.patch_embed.proj.weight``, and ``head.weight`` of a
  classifier, ``decode_head.fuse.weight`` of a segmentor);
* ``lvt_backbone``: an `LVT` (``stages.0.patch_embed.proj.weight``);
* ``original``: the original release, a classifier or backbone (``backbone.0.0.proj.weight``). In the models
  of dense tasks, the backbone has a second ``backbone.`` in front. Outside of the backbone, a panoptic
  segmentor has mmdetection's names in both layouts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

StateDict = dict[str, Tensor]

BACKBONE = "backbone."
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # DDP, torch.compile, timm's feature getter

# (ours, original); `#` stands for a number; the first rule that fits the start of a key applies.
_PREFIXES = (
    ("backbone.stages.#.patch_embed.", "backbone.#.0."),
    ("backbone.stages.#.blocks.#.", "backbone.#.1.#."),
    ("class_blocks.#.", "post_network.#."),
)
# Rules for the models of dense tasks.
_DENSE_PREFIXES = (
    ("backbone.stages.#.patch_embed.", "backbone.backbone.#.0."),
    ("backbone.stages.#.blocks.#.", "backbone.backbone.#.1.#."),
    ("decode_head.projections.0.", "decode_head.linear_c1.proj."),
    ("decode_head.projections.1.", "decode_head.linear_c2.proj."),
    ("decode_head.projections.2.", "decode_head.linear_c3.proj."),
    ("decode_head.projections.3.", "decode_head.linear_c4.proj."),
    ("decode_head.fuse.", "decode_head.linear_fuse.conv."),
    ("decode_head.norm.", "decode_head.linear_fuse.bn."),
    ("decode_head.classifier.", "decode_head.linear_pred."),
)
# Prefixes of keys that the original release stores and never uses.
UNUSED = ("decode_head.conv_seg.",)
# (mmsegmentation's segmentor, ours): our head is a part of the framework's head.
_FRAMEWORK_PREFIXES = (("decode_head.head.", "decode_head."),)
# (ours, original) at the end of a key, after the prefix.
_SUFFIXES = (
    ("attn.tap_weight", "attn.weight.weight"),
    ("attn.atrous.conv.weight", "attn.ds.weight"),
    ("mlp.dwconv.weight", "mlp.depconv.weight"),
    ("mlp.dwconv.bias", "mlp.depconv.bias"),
)


def layout_of(state_dict: Mapping[str, Tensor]) -> str | None:
    """Return the layout of keys without wrappers; ``None`` if the model is not an LVT."""
    if any(re.match(r"(backbone\.){1,2}\d+\.[01]\.", key) for key in state_dict):
        return "original"
    if any(key.startswith("backbone.stages.") for key in state_dict):
        return "lvt"
    if any(key.startswith("stages.") for key in state_dict):
        return "lvt_backbone"
    return None


def strip_wrappers(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Remove the prefixes that DDP, ``torch.compile`` and timm's feature getter put before keys.

    Also the name that a Lightning module gives its network, if what remains is an LVT.
    """
    state_dict = dict(state_dict)
    while prefix := next((p for p in _WRAPPERS if _all_start_with(state_dict, p)), None):
        state_dict = remove_prefix(state_dict, prefix)
    prefix = common_prefix(state_dict)
    if layout_of(state_dict) is None and layout_of(remove_prefix(state_dict, prefix)) is not None:
        return remove_prefix(state_dict, prefix)
    return state_dict


def common_prefix(state_dict: Mapping[str, Tensor]) -> str:
    """Return the first part of all keys, with its dot; ``''`` if they differ."""
    prefix = next(iter(state_dict), "").partition(".")[0] + "."
    return prefix if _all_start_with(state_dict, prefix) else ""


def remove_prefix(state_dict: Mapping[str, Tensor], prefix: str) -> StateDict:
    """Remove a prefix that all keys have."""
    return {key[len(prefix) :]: value for key, value in state_dict.items()}


def to_lvt(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Remove wrappers and rename any known layout to ``lvt``."""
    unwrapped = strip_wrappers(state_dict)
    return rename_to_lvt(unwrapped, layout_of(unwrapped))


def rename_to_lvt(state_dict: Mapping[str, Tensor], layout: str | None) -> StateDict:
    """Rename keys without wrappers to ``lvt``; keys without a rule keep their names.

    Args:
        state_dict: Tensors by their names in `layout`.
        layout: Layout, as `layout_of` returns it.
    """
    if layout == "lvt_backbone":
        return {BACKBONE + key: value for key, value in state_dict.items()}
    if layout == "original":
        rules = _DENSE_PREFIXES if _is_dense(state_dict) else _PREFIXES
        return {_rename(key, rules, 1, 0): _shape_to_lvt(key, value) for key, value in state_dict.items()}
    return {_rename(key, _FRAMEWORK_PREFIXES, 0, 1): value for key, value in state_dict.items()}


def to_original(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename any known layout to the original release's."""
    return lvt_to_original(to_lvt(state_dict))


def to_backbone(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Take the backbone's part of any known layout, with the names of `LVT`."""
    return lvt_to_backbone(to_lvt(state_dict))


def lvt_to_original(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Rename the ``lvt`` layout to the original release's."""
    rules = _DENSE_PREFIXES if _is_dense(state_dict) else _PREFIXES
    depthwise = {key[: -len("dwconv.weight")] for key in state_dict if key.endswith("mlp.dwconv.weight")}
    return {
        _rename(key, rules, 0, 1): _shape_to_original(key, value, depthwise)
        for key, value in state_dict.items()
    }


def lvt_to_backbone(state_dict: Mapping[str, Tensor]) -> StateDict:
    """Take the backbone's part of the ``lvt`` layout, with the names of `LVT`."""
    return {k[len(BACKBONE) :]: v for k, v in state_dict.items() if k.startswith(BACKBONE)}


def _all_start_with(state_dict: Mapping[str, Tensor], prefix: str) -> bool:
    return bool(state_dict) and all(key.startswith(prefix) for key in state_dict)


def _is_dense(state_dict: Mapping[str, Tensor]) -> bool:
    """Whether this is the whole model of a dense task: a segmentor, or mmdetection's panoptic segmentor."""
    return any(key.startswith(("decode_head.", "neck.")) for key in state_dict)


def _rename(key: str, rules: Sequence[tuple[str, str]], source: int, target: int) -> str:
    for rule in rules:
        pattern = re.escape(rule[source]).replace(r"\#", "#").replace("#", r"(\d+)")
        if match := re.match(pattern, key):
            numbers = iter(match.groups())
            start = re.sub("#", lambda _: next(numbers), rule[target])  # noqa: B023
            rest = key[match.end() :]
            for suffix in _SUFFIXES:
                if rest == suffix[source]:
                    rest = suffix[target]
            return start + rest
    return key


def _shape_to_lvt(key: str, value: Tensor) -> Tensor:
    """Reshape the matrices that the original stores as 1x1 convolutions."""
    if key.endswith("attn.weight.weight"):
        return value.reshape(-1, value.shape[1], value.shape[1])  # (9 * C, C, 1, 1) to (9, C, C)
    if re.search(r"(mlp\.fc[12]|linear_fuse\.conv)\.weight$", key):
        return value.flatten(1)  # (out, in, 1, 1) to (out, in)
    return value


def _shape_to_original(key: str, value: Tensor, depthwise: set[str]) -> Tensor:
    if key.endswith("attn.tap_weight"):
        return value.flatten(0, 1)[:, :, None, None]
    if key == "decode_head.fuse.weight" or (
        (match := re.match(r"(.*mlp\.)fc[12]\.weight$", key)) and match[1] in depthwise
    ):
        return value[:, :, None, None]
    return value
