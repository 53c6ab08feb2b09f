"""A1111's `modules.sd_models`."""

from modules.compat.checkpoints import (
    CheckpointAliases as _CheckpointAliases,
)
from modules.compat.checkpoints import (
    CheckpointInfo,
    checkpoint_tiles,
    get_closet_checkpoint_match,
    list_models,
    model_hash,
    read_metadata_from_safetensors,
    read_state_dict,
    select_checkpoint,
    unload_model_weights,
)
from modules.compat.checkpoints import (
    CheckpointList as _CheckpointList,
)
from modules.compat.facade import compute, other_modules
from modules.compat.host import host as _host
from modules.compat.model_memory import ModelData as _ModelData
from modules.compat.model_memory import SkipWritingToConfig
from modules.compat.sd_model import load_model, reload_model_weights

__all__ = [
    "CheckpointInfo", "SkipWritingToConfig", "checkpoint_tiles", "get_closet_checkpoint_match", "list_models",
    "load_model", "model_hash", "read_metadata_from_safetensors", "read_state_dict", "reload_model_weights",
    "select_checkpoint", "unload_model_weights",
]  # fmt: skip

model_dir = "Stable-diffusion"
checkpoints_list = _CheckpointList()
checkpoint_aliases = checkpoint_alisases = _CheckpointAliases()
checkpoints_loaded: dict[str, object] = {}
model_data = _ModelData()

compute(
    __name__,
    {
        "model_path": lambda: str(_host().layout.checkpoints),
        **other_modules("script_callbacks", "shared"),
    },
)
