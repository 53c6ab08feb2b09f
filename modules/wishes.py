"""What the command line asks of each room, in that room's own words."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from modules.cli import ROOT, LaunchConfig
from modules.extending.discover import Mode
from modules.extending.index import DEFAULT as DEFAULT_INDEX
from modules.extending.start import Wish
from modules.files.layout import Layout
from modules.library.catalog import Sources
from modules.settings.store import PLACE_KEYS, Freeze

if TYPE_CHECKING:
    from modules.nn.attention.backend import Backend
    from modules.residency.device import DevicePolicy, DeviceWish
    from modules.settings.snapshot import Snapshot


def extensions_of(config: LaunchConfig) -> Wish:
    """Return which extensions shall be loaded, and what may be done with them."""
    flags = (
        (config.disable_all_extensions, Mode.ALL, "--disable-all-extensions"),
        (config.disable_extra_extensions, Mode.EXTRA, "--disable-extra-extensions"),
    )
    off, flag = next(((mode, name) for asked, mode, name in flags if asked), (Mode.NONE, ""))
    return Wish(
        off=off, flag=flag, install=not (config.skip_install or config.skip_prepare_environment),
        update=config.update_all_extensions,
        allowed=not config.is_remote or config.enable_insecure_extension_access,
        index_address=os.environ.get("WEBUI_EXTENSIONS_INDEX", DEFAULT_INDEX),
    )  # fmt: skip


def attention_of(
    config: LaunchConfig, policy: "DevicePolicy", others: Callable[[], Sequence[str]]
) -> "Callable[[Snapshot], Backend]":
    """Return how the settings choose the attention; each answer is worked out and logged once.

    Args:
        config: of the start.
        policy: where networks run.
        others: names that are those of extensions, which put their own way around the default one.
    """
    from modules.nn.attention.backend import AttentionSpec
    from modules.nn.attention.select import choose
    from modules.residency.device import memory_bytes

    spec = AttentionSpec(device=policy.device, dtype=policy.dtype)
    whole = memory_bytes(policy.device) * (config.sub_quad_chunk_threshold or 0) // 100

    @cache
    def named(name: str, upcast: bool) -> "Backend":
        return choose(
            name, spec, upcast=upcast, query_chunk=config.sub_quad_q_chunk_size, whole_bytes=whole,
            kv_chunk=config.sub_quad_kv_chunk_size,
        )  # fmt: skip

    def chosen(settings: "Snapshot") -> "Backend":
        wanted = settings.optimizations.cross_attention_optimization
        upcast = settings.sd.upcast_attn or config.force_upcast_attention
        automatic = wanted == "Automatic" or wanted in others()
        return named(_flagged_attention(config) if automatic else wanted, upcast)

    return chosen


def _flagged_attention(config: LaunchConfig) -> str:
    """Return what the command line prefers; flags steer only the setting Automatic."""
    wishes = (
        (config.xformers or config.force_enable_xformers, "xformers"),
        (config.opt_sdp_no_mem_attention, "sdp-no-mem"),
        (config.opt_sdp_attention, "sdp"),
        (config.opt_sub_quad_attention, "sub-quadratic"),
        (config.opt_split_attention, "Doggettx"),
        (config.opt_split_attention_v1, "V1"),
        (config.opt_split_attention_invokeai, "InvokeAI"),
        (config.disable_opt_split_attention, "None"),
    )
    return next((name for wished, name in wishes if wished), "Automatic")


def device_of(config: LaunchConfig) -> "DeviceWish":
    """Return where networks shall run, and how precisely."""
    from modules.residency.device import DeviceWish

    return DeviceWish(
        use_cpu=config.use_cpu,
        device_id=config.device_id,
        no_half=config.no_half,
        no_half_vae=config.no_half_vae,
        precision=config.precision,
        medvram=config.medvram,
        medvram_sdxl=config.medvram_sdxl,
        lowvram=config.lowvram,
        channels_last=config.opt_channelslast,
    )


def layout_of(config: LaunchConfig) -> Layout:
    """Return where everything lies."""
    places = {
        "settings_file": config.ui_settings_file, "lora": config.lora_dir, "lycoris": config.lyco_dir_backcompat,
        "embeddings": config.embeddings_dir, "hypernetworks": config.hypernetwork_dir,
    }  # fmt: skip
    return Layout.of(ROOT, config.data_dir, config.models_dir, places)


def sources_of(config: LaunchConfig, layout: Layout) -> Sources:
    """Return where checkpoints are looked for."""
    return Sources(
        folders=[layout.checkpoints, *given(config.ckpt_dir)],
        first=config.ckpt,
        hashing=not config.no_hashing,
        allow_unsafe=config.disable_safe_unpickle,
    )


def freeze_of(config: LaunchConfig) -> Freeze:
    """Return which settings nobody may change."""
    hidden = PLACE_KEYS if config.hide_ui_dir_config else frozenset[str]()
    return Freeze(
        everything=config.freeze_settings,
        sections=config.freeze_settings_in_sections,
        keys=config.freeze_specific_settings | hidden,
    )


def given(path: Path | None) -> list[Path]:
    """Return a folder that was named, or nothing."""
    return [path] if path else []
