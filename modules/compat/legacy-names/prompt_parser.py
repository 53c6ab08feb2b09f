"""A1111's `modules.prompt_parser`."""

from modules.compat.prompts import (
    ComposableScheduledPromptConditioning,
    DictWithShape,
    MulticondLearnedConditioning,
    ScheduledPromptConditioning,
    SdConditioning,
    get_learned_conditioning,
    get_learned_conditioning_prompt_schedules,
    get_multicond_learned_conditioning,
    get_multicond_prompt_list,
    parse_prompt_attention,
    reconstruct_cond_batch,
    reconstruct_multicond_batch,
)

__all__ = [
    "ComposableScheduledPromptConditioning", "DictWithShape", "MulticondLearnedConditioning",
    "ScheduledPromptConditioning", "SdConditioning", "get_learned_conditioning",
    "get_learned_conditioning_prompt_schedules", "get_multicond_learned_conditioning", "get_multicond_prompt_list",
    "parse_prompt_attention", "reconstruct_cond_batch", "reconstruct_multicond_batch",
]  # fmt: skip
