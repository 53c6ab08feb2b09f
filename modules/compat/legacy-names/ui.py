"""A1111's `modules.ui`."""

from modules.compat.calls import wrap_gradio_call, wrap_gradio_gpu_call
from modules.compat.components import FormColumn, FormGroup, FormHTML, FormRow, ToolButton
from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.output_panel import OutputPanel, create_output_panel
from modules.compat.panels import (
    create_refresh_button,
    gr_show,
    plaintext_to_html,
    save_files,
    setup_dialog,
    update_generation_info,
    versions_html,
)

__all__ = [
    "FormColumn", "FormGroup", "FormHTML", "FormRow", "OutputPanel", "ToolButton", "create_output_panel",
    "create_refresh_button", "gr_show", "plaintext_to_html", "save_files", "setup_dialog", "update_generation_info",
    "versions_html", "wrap_gradio_call", "wrap_gradio_gpu_call",
]  # fmt: skip

random_symbol = "\U0001f3b2\ufe0f"
reuse_symbol = "\u267b\ufe0f"
paste_symbol = "\u2199\ufe0f"
refresh_symbol = "\U0001f504"
save_style_symbol = "\U0001f4be"
apply_style_symbol = "\U0001f4cb"
clear_prompt_symbol = "\U0001f5d1\ufe0f"
extra_networks_symbol = "\U0001f3b4"
switch_values_symbol = "\u21c5"
restore_progress_symbol = "\U0001f300"
detect_image_size_symbol = "\U0001f4d0"
folder_symbol = "\U0001f4c2"

compute(
    __name__,
    {
        "txt2img_paste_fields": lambda: _host().scripts.txt2img.infotext_fields,
        "img2img_paste_fields": lambda: _host().scripts.img2img.infotext_fields,
    },
)
