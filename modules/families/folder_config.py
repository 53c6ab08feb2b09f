"""What the JSON files of a folder in the layout of diffusers say, in the form of the yaml beside a checkpoint."""

from collections.abc import Mapping
from typing import Any

from modules.library.folders import INDEX, parsed

_PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
_TEXT_HEAD_WIDTH = 64


def folder_config(metadata: Mapping[str, str]) -> Mapping[str, Any]:
    """Return a folder's facts as `sidecar` describes them; empty for a file's metadata.

    Args:
        metadata: as `library.folders.read_model_header` gives it.
    """
    if INDEX not in metadata:
        return {}
    schedule, vae = parsed(metadata, "scheduler/scheduler_config.json"), parsed(metadata, "vae/config.json")
    unet = parsed(metadata, "unet/config.json")
    params = {
        "parameterization": _PREDICTIONS.get(str(schedule.get("prediction_type"))),
        **_edm(schedule),
        "linear_start": schedule.get("beta_start"),
        "linear_end": schedule.get("beta_end"),
        "timesteps": schedule.get("num_train_timesteps"),
        "zero_terminal_snr": bool(schedule.get("rescale_betas_zero_snr")) or None,
        "scale_factor": vae.get("scaling_factor"),
        "image_size": unet.get("sample_size"),
        "unet_config": {"params": _unet(unet)},
        "first_stage_config": {"params": {"ddconfig": _stated({"norm_groups": vae.get("norm_num_groups")})}},
        "cond_stage_config": {"params": _stated({"num_heads": _text_heads(metadata)})},
    }
    return {"model": {"params": _stated(params)}}


def _edm(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Tell networks that were trained on all noise levels; with another spread of the data they predict something else."""
    if not str(schedule.get("_class_name")).startswith("EDM"):
        return {}
    if schedule.get("prediction_type") == "v_prediction" and schedule.get("sigma_data") == 1:
        return {"edm_range": {name: schedule.get(name) for name in ("sigma_min", "sigma_max")}}
    return {"parameterization": "edm"}


def _unet(config: Mapping[str, Any]) -> dict[str, Any]:
    """Tell the heads, whose number is called `attention_head_dim` in all published folders."""
    heads, widths = (
        config.get("num_attention_heads") or config.get("attention_head_dim"),
        config.get("block_out_channels"),
    )
    found: dict[str, Any] = {"norm_groups": config.get("norm_num_groups")}
    if isinstance(heads, list) and isinstance(widths, list):
        pairs = list(zip(widths, heads, strict=False))
        each = {width // count for width, count in pairs if isinstance(width, int) and isinstance(count, int) and count}
        if len({str(count) for count in heads}) == 1:
            found["num_heads"] = heads[0]
        elif len(each) == 1:
            found["num_head_channels"] = each.pop()
    else:
        found["num_heads"] = heads
    return _stated(found)


def _text_heads(metadata: Mapping[str, str]) -> int | None:
    """Tell the heads of the text encoders where they are not one for every 64 channels, as in all published ones."""
    found = set[int]()
    for part in ("text_encoder", "text_encoder_2"):
        config = parsed(metadata, f"{part}/config.json")
        heads, width = config.get("num_attention_heads"), config.get("hidden_size")
        if isinstance(heads, int) and isinstance(width, int):
            found.add(0 if heads * _TEXT_HEAD_WIDTH == width else heads)
    return found.pop() or None if len(found) == 1 else None


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
