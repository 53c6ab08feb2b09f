"""A1111's `modules.shared`."""

from modules.compat import devices as _devices
from modules.compat import faces as _faces
from modules.compat import hypernetworks as _hypernetworks
from modules.compat import styles as _styles
from modules.compat.checkpoints import checkpoint_tiles as list_checkpoint_tiles
from modules.compat.checkpoints import list_models as refresh_checkpoints
from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.hypernetworks import reload_hypernetworks
from modules.compat.interrogating import Interrogator as _Interrogator
from modules.compat.latents import LATENT_MODES as latent_upscale_modes  # noqa: N811 - A1111's name
from modules.compat.listing import html, html_path, listfiles, natural_sort_key, walk_files
from modules.compat.meters import MemUsageMonitor as _MemUsageMonitor
from modules.compat.meters import TotalTqdm as _TotalTqdm
from modules.compat.options import OptionDiv, OptionHTML, OptionInfo, options_section
from modules.compat.sd_model import sd_model_now as _sd_model_now
from modules.compat.state import StateView as _StateView
from modules.compat.upscalers import known_upscalers as _known_upscalers
from modules.compat.upscalers import replace_upscalers as _replace_upscalers

__all__ = [
    "OptionDiv", "OptionHTML", "OptionInfo", "html", "html_path", "latent_upscale_modes", "list_checkpoint_tiles",
    "listfiles", "natural_sort_key", "options_section", "refresh_checkpoints", "reload_hypernetworks", "walk_files",
]  # fmt: skip

state = _StateView()
total_tqdm = _TotalTqdm()
mem_mon = _MemUsageMonitor()
latent_upscale_default_mode = "Latent"
batch_cond_uncond = True
parallel_processing_allowed = True
xformers_available = False
tab_names: list[str] = []
loaded_hypernetworks: list[str] = []
progress_print_out = None
interrogator = _Interrogator()
gradio_theme = None
ui_reorder_categories_builtin_items: list[str] = []

compute(
    __name__,
    {
        "demo": lambda: _host().page,
        "opts": lambda: _host().options,
        "cmd_opts": lambda: _host().flags,
        "options_templates": lambda: _host().options.data_labels,
        "restricted_opts": lambda: _host().options.restricted_opts,
        "sd_model": _sd_model_now,
        "device": _devices.device,
        "weight_load_location": lambda: None,
        "sd_upscalers": (_known_upscalers, _replace_upscalers),
        "face_restorers": _faces.face_restorers,
        "prompt_styles": _styles.prompt_styles,
        "hypernetworks": _hypernetworks.hypernetworks,
        "hide_dirs": lambda: {"visible": not getattr(_host().flags, "hide_ui_dir_config", False)},
        "config_filename": lambda: str(_host().layout.settings_file),
        "data_path": lambda: str(_host().layout.data),
        "models_path": lambda: str(_host().layout.models),
        "script_path": lambda: str(_host().layout.root),
        "styles_filename": lambda: [str(path) for path in _styles.styles_files()],
        "clip_model": lambda: None,
    },
)
