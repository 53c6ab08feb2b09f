"""Say in words what a model file is, from its tensor names and shapes, so that a refusal can help."""

from collections.abc import Callable, Mapping, Sequence

from modules.library.folders import INDEX, parsed
from modules.library.header import Header, TensorInfo

UNET = "model.diffusion_model."


class _Names:
    """The tensors of a file, asked by name; UNet names with and without the prefix of whole checkpoints."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self.tensors = tensors
        self.whole = any(name.startswith(UNET) for name in tensors)
        self.net = {name.removeprefix(UNET): info.shape for name, info in tensors.items()}

    def has(self, name: str) -> bool:
        """Whether the tensor exists, below the UNet's prefix or not."""
        return name in self.net

    def starts(self, *prefixes: str) -> bool:
        """Whether some tensor, without the UNet's prefix, starts so."""
        return any(name.startswith(prefixes) for name in self.net)

    def holds(self, *parts: str) -> bool:
        """Whether some tensor's name contains one of the parts."""
        return any(part in name for name in self.net for part in parts)

    def size(self, name: str, axis: int) -> int:
        """Return one dimension of a tensor, 0 when there is no such tensor or dimension."""
        shape = self.net.get(name, ())
        return shape[axis] if axis < len(shape) else 0


STABLE_DIFFUSION_1 = "a Stable Diffusion 1"
STABLE_DIFFUSION_2 = "a Stable Diffusion 2"
STABLE_DIFFUSION_2_DEPTH = "a Stable Diffusion 2 depth"
STABLE_UNCLIP = "a Stable unCLIP (Stable Diffusion 2)"
STABLE_DIFFUSION_XL = "a Stable Diffusion XL"
STABLE_DIFFUSION_XL_REFINER = "a Stable Diffusion XL refiner"


def lineage(header: Header) -> str | None:
    """Return the words for the lineage of a checkpoint with a UNet in the original layout, None for other files."""
    names = _Names(header.tensors)
    if any(rule(names) for rule in (_checkpoint_part, _lora, _control, _adapter, _transformer)):
        return None
    return _unet_lineage(names) if names.has("input_blocks.0.0.weight") else None


def describe(header: Header) -> str | None:
    """Return a sentence on what a file is and where it belongs, or None when it is not known.

    Files that a family of this program can load are described too, as the lineage they are.
    """
    if INDEX in header.metadata:
        return f"It is a folder in the layout of diffusers for {_pipeline(header)}."
    names = _Names(header.tensors)
    for rule in (_checkpoint_part, _lora, _control, _adapter, _transformer, _unet, _small, _vae, _text, _upscaler):
        if (answer := rule(names)) is not None:
            return answer
    return None


def needs(missing: Sequence[str], header: Header) -> str:
    """Return a sentence on what has to be put beside a checkpoint that lacks text encoders; empty where none is lacking.

    Args:
        missing: the text encoders that no file has.
        header: of the checkpoint in the original layout.
    """
    supported = (STABLE_DIFFUSION_1, STABLE_DIFFUSION_2, STABLE_DIFFUSION_XL, STABLE_DIFFUSION_XL_REFINER)
    if not missing or lineage(header) not in supported:
        return ""
    vae = "" if any(name.startswith("first_stage_model.") for name in header.tensors) else ", its VAE in models/VAE"
    return (
        f" It can be used with its text encoder: put {' and '.join(missing)} in models/text_encoder{vae}, "
        "and choose them in the setting VAE / Text Encoder (forge_additional_modules)."
    )


def _pipeline(header: Header) -> str:
    name = parsed(header.metadata, INDEX).get("_class_name")
    return name[:80] if isinstance(name, str) else "another program"


def _belongs(what: str, folder: str) -> str:
    return f"It is {what}; put it in {folder}."


_PARTS = {
    "text encoder": ("cond_stage_model.", "conditioner.", "text_encoders."),
    "VAE": ("first_stage_model.", "vae."),
}


def _lineage(names: _Names, what: str) -> str:
    if names.whole:
        absent = [part for part, there in _PARTS.items() if not names.starts(*there)]
        return f"It is {what} checkpoint" + (f" without {' and '.join(absent)}." if absent else ".")
    return f"It holds only the denoising network of {what} model, without text encoder and VAE."


def _checkpoint_part(names: _Names) -> str | None:
    if not names.tensors:
        return "It holds no tensors."
    if names.starts("vae.", "text_encoders.") and not names.whole and names.starts("diffusion_model."):
        return "It is a checkpoint with renamed parts, as some workflow tools save them."
    return None


_LORA_PARTS = (
    ".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", "_lora.down.", "_lora.up.", ".lora.down.", ".lora.up.",
    ".lora_linear_layer.", ".hada_w1", ".lokr_w", ".oft_blocks", ".oft_diag", ".dora_scale", "_lora1.", "_lora2.",
)  # fmt: skip


def _lora(names: _Names) -> str | None:
    adapter = names.starts("image_proj.", "ip_adapter.", "lllite_unet_") or names.has("lora_controlnet")
    prefixed = names.starts("lora_unet_", "lora_te", "lora_transformer_", "lycoris_", "oft_unet_")
    if not adapter and (prefixed or names.holds(*_LORA_PARTS)):
        return _belongs("a LoRA", "models/Lora")
    return None


def _control(names: _Names) -> str | None:
    control = (
        names.starts("control_model.", "zero_convs.", "controlnet_", "lllite_unet_", "input_hint_block.")
        or names.has("lora_controlnet")
        or names.has("task_embedding")
    )
    return _belongs("a ControlNet", "models/ControlNet") if control else None


def _adapter(names: _Names) -> str | None:
    if names.starts("image_proj.", "ip_adapter."):
        return _belongs("an IP-Adapter", "models/ControlNet")
    light = names.has("body.0.in_conv.weight") or names.starts("transformer_layes.")
    if light or names.has("body.0.block1.weight") or names.starts("adapter.body."):
        return _belongs("a T2I-Adapter", "models/ControlNet")
    return None


def _transformer(names: _Names) -> str | None:
    if names.starts("joint_blocks."):
        newer = names.holds("attn.ln_q.weight")
        return _lineage(names, "a Stable Diffusion 3.5" if newer else "a Stable Diffusion 3")
    if names.starts("distilled_guidance_layer."):
        return _lineage(names, "a Chroma")
    if names.starts("double_stream_modulation_img."):
        return _lineage(names, "a FLUX.2")
    if names.starts("double_blocks."):
        return _lineage(names, _flux(names))
    if names.starts("single_transformer_blocks.") and names.starts("transformer_blocks."):
        return "It holds only the denoising network of a FLUX.1 model, in the layout of diffusers."
    if names.starts("transformer_blocks.") and names.holds(".add_k_proj."):
        return "It holds only the denoising network of a Stable Diffusion 3 model, in the layout of diffusers."
    return None


def _flux(names: _Names) -> str:
    width = names.size("img_in.weight", 1)
    if width == 384:
        return "a FLUX.1 fill"
    if width == 128:
        return "a FLUX.1 canny or depth"
    return "a FLUX.1 dev" if names.starts("guidance_in.") else "a FLUX.1 schnell"


_UNET_RULES: tuple[tuple[Callable[[_Names], bool], str], ...] = (
    (lambda n: n.holds(".time_stack.", ".time_mixer."), "a Stable Video Diffusion"),
    (lambda n: n.starts("depth_model."), STABLE_DIFFUSION_2_DEPTH),
    (lambda n: n.starts("embedder.model."), STABLE_UNCLIP),
    (lambda n: n.has("label_emb.weight"), "a Stable Diffusion x4 upscaler"),
    (lambda n: n.has("edm_mean"), "a Playground v2.5"),
    (lambda n: n.size("label_emb.0.0.weight", 1) in {2048, 1536} and not n.starts("conditioner."), STABLE_UNCLIP),
    (lambda n: n.size("label_emb.0.0.weight", 1) == 2560, STABLE_DIFFUSION_XL_REFINER),
    (lambda n: n.starts("conditioner.embedders.1."), STABLE_DIFFUSION_XL),
    (lambda n: n.starts("conditioner.embedders.0.") and n.has("label_emb.0.0.weight"), STABLE_DIFFUSION_XL_REFINER),
    (lambda n: n.starts("conditioner.embedders.0.model."), STABLE_DIFFUSION_2),
    (lambda n: n.size("label_emb.0.0.weight", 1) == 2816, STABLE_DIFFUSION_XL),
    (lambda n: n.starts("cond_stage_model.roberta."), "an AltDiffusion"),
    (lambda n: n.starts("cond_stage_model.model."), STABLE_DIFFUSION_2),
    (
        lambda n: n.starts("cond_stage_model.transformer.") and _context(n) == 1024,
        "a Stable Diffusion 2 (text encoder in the layout of transformers)",
    ),
    (lambda n: n.starts("cond_stage_model.transformer."), STABLE_DIFFUSION_1),
    (lambda n: _context(n) == 1024, STABLE_DIFFUSION_2),
    (lambda n: _context(n) > 0, STABLE_DIFFUSION_1),
)

_EXTRA_INPUTS = {9: " inpainting", 8: " instruct-pix2pix", 5: " depth", 7: " upscaler"}


def _context(names: _Names) -> int:
    """Width of the text that the UNet attends to, where the first level has attention; 0 when it has none."""
    for name, shape in names.net.items():
        if name.startswith("input_blocks.") and name.endswith("attn2.to_k.weight") and len(shape) == 2:
            return shape[1]
    return 0


def _unet(names: _Names) -> str | None:
    if names.starts("down_blocks.") and names.has("conv_in.weight") and names.starts("time_embedding."):
        return "It holds only a UNet, in the layout of diffusers."
    if not names.has("input_blocks.0.0.weight"):
        return None
    what = _unet_lineage(names) or "a latent diffusion"
    extra = _EXTRA_INPUTS.get(names.size("input_blocks.0.0.weight", 1), "")
    named = any(word in what for word in ("Video", "upscaler", "depth"))
    return _lineage(names, what if named else what + extra)


def _unet_lineage(names: _Names) -> str | None:
    return next((what for rule, what in _UNET_RULES if rule(names)), None)


def _small(names: _Names) -> str | None:
    """Embeddings and hypernetworks: few tensors with telling names."""
    keys = set(names.tensors)
    hyper = {name.split(".")[0] for name in keys} <= {"320", "640", "768", "1024", "1280"}
    if hyper:
        return _belongs("a hypernetwork", "models/hypernetworks")
    single = len(keys) == 1 and all(len(shape) <= 2 for shape in names.net.values())
    known = {"emb_params", "clip_l", "clip_g", "text_encoders_0", "*"}
    if single or keys & known or names.starts("string_to_param."):
        return _belongs("a textual inversion embedding", "embeddings")
    return None


def _vae(names: _Names) -> str | None:
    bare = {name.removeprefix("first_stage_model.") for name in names.net}
    if names.starts("quantize."):  # face restorers are built around an autoencoder
        return None
    if "decoder.conv_in.weight" in bare and ("decoder.mid.block_1.conv1.weight" in bare or "quant_conv.weight" in bare):
        return _belongs("a VAE", "models/VAE")
    if names.starts("decoder.mid_block.", "decoder.up_blocks."):
        return _belongs("a VAE", "models/VAE")
    if names.starts("decoder.layers.", "encoder.layers.") and not names.starts("text_model.", "encoder.layers.0.self_"):
        return _belongs("a tiny autoencoder (TAESD)", "models/VAE-taesd")
    if names.has("3.conv.0.weight") or names.has("4.conv.0.weight"):
        return _belongs("a tiny autoencoder (TAESD)", "models/VAE-taesd")
    if names.has("conv8.weight") and len(names.tensors) <= 16:
        return _belongs("a preview decoder", "models/VAE-approx")
    return None


def _text(names: _Names) -> str | None:
    if names.starts("vision_model."):
        return _belongs("an image encoder (CLIP vision)", "models/ControlNetPreprocessor")
    if names.starts("text_model.", "transformer.resblocks.", "encoder.block.", "cond_stage_model."):
        return _belongs("a text encoder", "models/text_encoder")
    return None


_UPSCALERS: tuple[tuple[str, str, str], ...] = (
    ("encoder.conv_in.weight", "a face restorer (RestoreFormer)", "models/GFPGAN"),
    ("quantize.embedding.weight", "a face restorer (CodeFormer)", "models/Codeformer"),
    ("stylegan_decoder.constant_input.weight", "a face restorer (GFPGAN)", "models/GFPGAN"),
    ("relative_position_index_SA", "an upscaler (HAT)", "models/HAT"),
    ("layers.0.blocks.2.attn.attn_mask_0", "an upscaler (DAT)", "models/DAT"),
    ("layers.0.blocks.0.attn.temperature", "an upscaler (DAT)", "models/DAT"),
    ("layers.0.residual_group.blocks.0.norm1.weight", "an upscaler (SwinIR)", "models/SwinIR"),
    ("m_head.0.weight", "an upscaler (ScuNET)", "models/ScuNET"),
    ("model.1.sub.0.RDB1.conv1.0.weight", "an upscaler (ESRGAN)", "models/ESRGAN"),
    ("RRDB_trunk.0.RDB1.conv1.weight", "an upscaler (ESRGAN)", "models/ESRGAN"),
    ("body.0.rdb1.conv1.weight", "an upscaler (RealESRGAN)", "models/RealESRGAN"),
    ("body.1.weight", "an upscaler (RealESRGAN)", "models/RealESRGAN"),
    ("cp.resnet.conv1.weight", "a face parser", "models/GFPGAN"),
    ("encoder.0.conv2d.weight", "a face parser", "models/GFPGAN"),
    ("body.conv1.weight", "a face detector", "models/GFPGAN"),
)


def _upscaler(names: _Names) -> str | None:
    bare = {name.split(".", 1)[1] if name.startswith(("params_ema.", "params.")) else name for name in names.tensors}
    for key, what, folder in _UPSCALERS:
        if key in bare:
            return _belongs(what, folder)
    return None
