"""`modules.ui_common.create_output_panel`: a gallery with buttons that save its pictures and send them to tabs."""

from dataclasses import dataclass
from typing import Any

from modules.compat.infotexts import ParamBinding, register_paste_params_button
from modules.compat.panels import save_files, update_generation_info

TARGETS = ("img2img", "inpaint", "extras")


@dataclass
class OutputPanel:
    """A gallery and what belongs to it; may be taken apart as older versions gave four things."""

    gallery: Any = None
    generation_info: Any = None
    infotext: Any = None
    html_log: Any = None
    button_upscale: Any = None

    def __iter__(self) -> Any:
        return iter((self.gallery, self.generation_info, self.infotext, self.html_log))


def create_output_panel(tabname: str, outdir: str, toprow: Any = None) -> OutputPanel:
    """Build a gallery, the buttons and the words below it.

    Args:
        tabname: begins the element ids.
        outdir: where its pictures lie; they are saved elsewhere, so it is not used.
        toprow: not used.
    """
    import gradio as gr

    with gr.Column(elem_id=f"{tabname}_results"):
        gallery = gr.Gallery(label="Output", show_label=False, elem_id=f"{tabname}_gallery", columns=4, preview=True)
        with gr.Row(elem_id=f"image_buttons_{tabname}"):
            save = gr.Button("Save", size="sm", min_width=50, elem_id=f"save_{tabname}")
            zipped = gr.Button("Zip", size="sm", min_width=50, elem_id=f"save_zip_{tabname}")
            sends = {one: _send_button(tabname, one) for one in TARGETS}
        files = gr.File(visible="hidden", interactive=False, file_count="multiple", elem_id=f"download_files_{tabname}")
        info = gr.HTML(elem_id=f"html_info_{tabname}", elem_classes=["infotext"])
        log = gr.HTML(elem_id=f"html_log_{tabname}", elem_classes=["html-log"])
        told = gr.Textbox(visible="hidden", elem_id=f"generation_info_{tabname}")
        chosen = gr.State(-1)
    for target, button in sends.items():
        register_paste_params_button(_binding(button, target, tabname, gallery))
    _connect_save(save, zipped, [told, gallery, chosen], [files, log])

    def select(texts: str, shown: str, event: gr.SelectData) -> tuple[int, str]:
        """Show the parameters of the selected picture."""
        return int(event.index), update_generation_info(texts, shown, int(event.index))[0]

    gallery.select(select, [told, info], [chosen, info], queue=False, show_progress="hidden")
    return OutputPanel(gallery=gallery, generation_info=told, infotext=info, html_log=log)


def _send_button(tabname: str, target: str) -> Any:
    import gradio as gr

    return gr.Button(f"Send to {target}", size="sm", min_width=90, elem_id=f"{tabname}_send_to_{target}")


def _binding(button: Any, target: str, tabname: str, gallery: Any) -> ParamBinding:
    source = tabname if tabname in ("txt2img", "img2img") else None
    return ParamBinding(paste_button=button, tabname=target, source_tabname=source, source_image_component=gallery)


def _connect_save(save: Any, zipped: Any, inputs: list[Any], outputs: list[Any]) -> None:
    def keep(told: str, pictures: Any, chosen: int) -> Any:
        """Save the selected picture, or all."""
        return save_files(told, pictures or [], False, chosen)

    def pack(told: str, pictures: Any, chosen: int) -> Any:
        """Save all pictures, and pack them."""
        return save_files(told, pictures or [], True, -1)

    save.click(keep, inputs, outputs, show_progress="hidden")
    zipped.click(pack, inputs, outputs, show_progress="hidden")
