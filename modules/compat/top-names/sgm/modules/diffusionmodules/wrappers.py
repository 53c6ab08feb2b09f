"""`sgm.modules.diffusionmodules.wrappers`."""

from modules.compat.sd_model import DiffusionWrapper as OpenAIWrapper

__all__ = ["OPENAIUNETWRAPPER", "OpenAIWrapper"]

OPENAIUNETWRAPPER = "sgm.modules.diffusionmodules.wrappers.OpenAIWrapper"
