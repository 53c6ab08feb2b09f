"""A1111's `modules.sd_samplers`."""

from modules.compat.facade import compute
from modules.compat.samplers import (
    SamplerData,
    create_sampler,
    find_sampler_config,
    get_sampler_and_scheduler,
    get_sampler_from_infotext,
    replace_sampler_map,
    replace_samplers,
    sampler_list,
    sampler_map,
    set_samplers,
    visible_sampler_names,
    visible_samplers,
)

__all__ = [
    "SamplerData", "create_sampler", "find_sampler_config", "get_sampler_and_scheduler", "get_sampler_from_infotext",
    "set_samplers", "visible_sampler_names", "visible_samplers",
]  # fmt: skip

compute(
    __name__,
    {
        "all_samplers": (sampler_list, replace_samplers),
        "samplers": sampler_list,
        "samplers_for_img2img": sampler_list,
        "samplers_hidden": lambda: set(),
        "all_samplers_map": (sampler_map, replace_sampler_map),
        "samplers_map": lambda: {text.lower(): one.name for one in sampler_list() for text in (one.name, *one.aliases)},
    },
)
