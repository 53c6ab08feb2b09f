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
    stack_conds,
)

__all__ = [
    "ComposableScheduledPromptConditioning", "DictWithShape", "MulticondLearnedConditioning",
    "ScheduledPromptConditioning", "SdConditioning", "get_learned_conditioning",
    "get_learned_conditioning_prompt_schedules", "get_multicond_learned_conditioning", "get_multicond_prompt_list",
    "parse_prompt_attention", "reconstruct_cond_batch", "reconstruct_multicond_batch", "stack_conds",
]  # fmt: skip
