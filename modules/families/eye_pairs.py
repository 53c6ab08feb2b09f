"""Networks that look at pictures, under their names in the original checkpoints and in folders of diffusers."""

import re
from collections.abc import Callable, Collection, Iterator

from modules.families.pairs import Form, Pair

DEPTH_FOLDER, IMAGE_FOLDER, STATISTICS_FOLDER = "depth_estimator/", "image_encoder/", "image_normalizer/"

_BACKBONE = r"dpt\.embeddings\.backbone\.bit\."
_VIT, _NET = "pretrained.model", "pretrained.model.patch_embed.backbone"


def _shifted(start: str, by: int, end: str = "") -> Callable[[re.Match[str]], str]:
    return lambda match: f"{start}{int(match[1]) + by}{end}"


_DEPTH: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"dpt\.embeddings\.cls_token$", f"{_VIT}.cls_token"),
    (r"dpt\.embeddings\.position_embeddings$", f"{_VIT}.pos_embed"),
    (r"dpt\.embeddings\.projection(?=\.)", f"{_VIT}.patch_embed.proj"),
    (_BACKBONE + r"embedder\.convolution(?=\.)", f"{_NET}.stem.conv"),
    (_BACKBONE + r"embedder\.norm(?=\.)", f"{_NET}.stem.norm"),
    (_BACKBONE + r"encoder\.stages\.(\d+)\.layers(?=\.)", rf"{_NET}.stages.\1.blocks"),
    (r"dpt\.encoder\.layer\.(\d+)\.attention\.output\.dense(?=\.)", rf"{_VIT}.blocks.\1.attn.proj"),
    (r"dpt\.encoder\.layer\.(\d+)\.layernorm_before(?=\.)", rf"{_VIT}.blocks.\1.norm1"),
    (r"dpt\.encoder\.layer\.(\d+)\.layernorm_after(?=\.)", rf"{_VIT}.blocks.\1.norm2"),
    (r"dpt\.encoder\.layer\.(\d+)\.intermediate\.dense(?=\.)", rf"{_VIT}.blocks.\1.mlp.fc1"),
    (r"dpt\.encoder\.layer\.(\d+)\.output\.dense(?=\.)", rf"{_VIT}.blocks.\1.mlp.fc2"),
    (r"neck\.reassemble_stage\.readout_projects\.(\d)\.0(?=\.)", _shifted("pretrained.act_postprocess", 1, ".0.project.0")),
    (r"neck\.reassemble_stage\.layers\.(\d)\.projection(?=\.)", _shifted("pretrained.act_postprocess", 1, ".3")),
    (r"neck\.reassemble_stage\.layers\.(\d)\.resize(?=\.)", _shifted("pretrained.act_postprocess", 1, ".4")),
    (r"neck\.convs\.(\d)(?=\.)", _shifted("scratch.layer", 1, "_rn")),
    (
        r"neck\.fusion_stage\.layers\.(\d)\.(?:(projection)|residual_layer(\d)\.convolution(\d))(?=\.)",
        lambda m: f"scratch.refinenet{4 - int(m[1])}." + ("out_conv" if m[2] else f"resConfUnit{m[3]}.conv{m[4]}"),
    ),
    (r"head\.head(?=\.)", "scratch.output_conv"),
)  # fmt: skip
"""What names of transformers begin with -> what those of MiDaS begin with."""

_QUERY = re.compile(r"dpt\.encoder\.layer\.(\d+)\.attention\.attention\.query\.(weight|bias)$")
_FIRST_QUERY = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)$")
_LAYER = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.(\w+(?:\.(?:fc[12]|out_proj))?)\.(weight|bias)$")
_LAYER_PARTS = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "self_attn.out_proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}  # fmt: skip
_IMAGE = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.pre_layrnorm.weight": "ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "ln_pre.bias",
    "vision_model.post_layernorm.weight": "ln_post.weight",
    "vision_model.post_layernorm.bias": "ln_post.bias",
}


def eye_pairs(names: Collection[str]) -> tuple[Pair, ...]:
    """Pair the tensors of a folder's depth estimator, image encoder and statistics of embeddings; none for files."""
    return (
        *_below(names, DEPTH_FOLDER, "depth_model.model.", _depth_pairs),
        *_below(names, IMAGE_FOLDER, "embedder.model.visual.", _image_pairs),
        *_below(names, STATISTICS_FOLDER, "noise_augmentor.", _statistics_pairs),
    )


def _below(
    names: Collection[str], folder: str, place: str, pairs: Callable[[Collection[str]], Iterator[Pair]]
) -> Iterator[Pair]:
    own = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    for pair in pairs(own):
        yield Pair(place + pair.original, tuple(folder + name for name in pair.diffusers), pair.form)


def _depth_pairs(names: Collection[str]) -> Iterator[Pair]:
    for name in names:
        if match := _QUERY.match(name):
            thirds = tuple(name.replace(".query.", f".{part}.") for part in ("query", "key", "value"))
            yield Pair(f"{_VIT}.blocks.{match[1]}.attn.qkv.{match[2]}", thirds, Form.STACKED)
        for pattern, ours in _DEPTH:
            found, count = re.subn(f"^{pattern}", ours, name)
            if count:
                yield Pair(found, (name,))
                break


def _image_pairs(names: Collection[str]) -> Iterator[Pair]:
    for name in names:
        if match := _FIRST_QUERY.match(name):
            thirds = tuple(name.replace(".q_proj.", f".{letter}_proj.") for letter in "qkv")
            yield Pair(f"transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}", thirds, Form.STACKED)
        elif (match := _LAYER.match(name)) and match[2] in _LAYER_PARTS:
            yield Pair(f"transformer.resblocks.{match[1]}.{_LAYER_PARTS[match[2]]}.{match[3]}", (name,))
        elif name == "visual_projection.weight":
            yield Pair("proj", (name,), Form.TRANSPOSED)
        elif name in _IMAGE:
            yield Pair(_IMAGE[name], (name,))


def _statistics_pairs(names: Collection[str]) -> Iterator[Pair]:
    for name in names:
        if name in ("mean", "std"):
            yield Pair(f"data_{name}", (name,))
