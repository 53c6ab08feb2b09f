"""A1111's `modules.lowvram`."""

from modules.compat.model_memory import is_enabled, is_needed, send_everything_to_cpu, setup_for_low_vram

__all__ = ["is_enabled", "is_needed", "send_everything_to_cpu", "setup_for_low_vram"]
module_in_gpu = None
