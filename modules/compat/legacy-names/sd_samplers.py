"""A1111's `modules.sd_samplers`."""

from modules.compat.facade import compute
from modules.compat.samplers import (
    SamplerData,
    create_sampler,
    find_sampler_config,
    get_sampler_and_scheduler,
    get_sampler_from_infotext,
    sampler_list,
    visible_sampler_names,
    visible_samplers,
)

__all__ = [
    "SamplerData", "create_sampler", "find_sampler_config", "get_sampler_and_scheduler", "get_sampler_from_infotext",
    "visible_sampler_names", "visible_samplers",
]  # fmt: skip

compute(
    __name__,
    {
        "all_samplers": sampler_list,
        "samplers": sampler_list,
        "samplers_for_img2img": sampler_list,
        "all_samplers_map": lambda: {one.name: one for one in sampler_list()},
        "samplers_map": lambda: {text.lower(): one.name for one in sampler_list() for text in (one.name, *one.aliases)},
    },
)
