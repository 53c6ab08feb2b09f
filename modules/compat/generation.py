"""`modules.txt2img` and `modules.img2img`: the functions behind A1111's buttons, as extensions call them."""

from collections.abc import Mapping
from typing import Any

from PIL import Image

from modules.compat.host import facade
from modules.compat.infotexts import create_override_settings_dict
from modules.compat.job_object import StableDiffusionProcessingImg2Img, StableDiffusionProcessingTxt2Img
from modules.compat.panels import plaintext_to_html
from modules.imaging import mask as masks

SKETCH, INPAINT, INPAINT_SKETCH, INPAINT_UPLOAD, BATCH = 1, 2, 3, 4, 5
"""Modes of `img2img`; 0 is a plain picture."""

Shown = tuple[list[Any], str, str, str]
"""Pictures, what a gallery knows of them as JSON, their text and remarks as markup."""


def txt2img_create_processing(
    id_task: str, request: Any, prompt: str, negative_prompt: str, prompt_styles: Any, n_iter: int, batch_size: int,
    cfg_scale: float, height: int, width: int, enable_hr: bool, denoising_strength: float, hr_scale: float,
    hr_upscaler: str, hr_second_pass_steps: int, hr_resize_x: int, hr_resize_y: int, hr_checkpoint_name: str,
    hr_sampler_name: str, hr_scheduler: str, hr_prompt: str, hr_negative_prompt: str, override_settings_texts: Any,
    *args: Any, force_enable_hr: bool = False,
) -> StableDiffusionProcessingTxt2Img:  # fmt: skip
    """Make the job that the button of the tab txt2img would start.

    Args:
        args: values of the controls of all scripts.
        force_enable_hr: run the hires pass whatever `enable_hr` says.
    """
    as_chosen = {"Use same checkpoint", "Use same sampler", "Use same scheduler", ""}
    made = StableDiffusionProcessingTxt2Img(
        prompt=prompt, negative_prompt=negative_prompt, styles=prompt_styles, n_iter=n_iter, batch_size=batch_size,
        cfg_scale=cfg_scale, width=width, height=height, enable_hr=enable_hr or force_enable_hr,
        denoising_strength=denoising_strength, hr_scale=hr_scale, hr_upscaler=hr_upscaler,
        hr_second_pass_steps=hr_second_pass_steps, hr_resize_x=hr_resize_x, hr_resize_y=hr_resize_y,
        hr_checkpoint_name=None if hr_checkpoint_name in as_chosen else hr_checkpoint_name,
        hr_sampler_name=None if hr_sampler_name in as_chosen else hr_sampler_name,
        hr_scheduler=None if hr_scheduler in as_chosen else hr_scheduler, hr_prompt=hr_prompt or "",
        hr_negative_prompt=hr_negative_prompt or "", override_settings=_overrides(override_settings_texts),
    )  # fmt: skip
    return _with_scripts(made, "scripts_txt2img", request, args)


def txt2img(id_task: str, request: Any, *args: Any) -> Shown:
    """Do what the button of the tab txt2img would.

    Args:
        id_task: of the task; nobody reads it.
        request: of gradio, for the name of the user.
        args: as `txt2img_create_processing` takes them.
    """
    p = facade("txt2img").txt2img_create_processing(id_task, request, *args)
    found = p.scripts.run(p, *p.script_args)
    return shown(facade("processing").process_images(p) if found is None else found)


def img2img(
    id_task: str, request: Any, mode: int, prompt: str, negative_prompt: str, prompt_styles: Any, init_img: Any,
    sketch: Any, init_img_with_mask: Any, inpaint_color_sketch: Any, inpaint_color_sketch_orig: Any,
    init_img_inpaint: Any, init_mask_inpaint: Any, mask_blur: float, mask_alpha: float, inpainting_fill: int,
    n_iter: int, batch_size: int, cfg_scale: float, image_cfg_scale: float, denoising_strength: float,
    selected_scale_tab: int, height: int, width: int, scale_by: float, resize_mode: int, inpaint_full_res: bool,
    inpaint_full_res_padding: int, inpainting_mask_invert: int, img2img_batch_input_dir: str,
    img2img_batch_output_dir: str, img2img_batch_inpaint_mask_dir: str, override_settings_texts: Any,
    img2img_batch_use_png_info: bool, img2img_batch_png_info_props: Any, img2img_batch_png_info_dir: str,
    img2img_batch_source_type: str, img2img_batch_upload: Any, *args: Any,
) -> Shown:  # fmt: skip
    """Do what the button of the tab img2img would.

    Args:
        id_task: of the task; nobody reads it.
        request: of gradio, for the name of the user.
        mode: which of the tab's own tabs: picture, sketch, inpaint, inpaint a sketch, inpaint with a file, batch.
        selected_scale_tab: 1 makes the result `scale_by` times as large as the picture.
        args: values of the controls of all scripts.
    """
    given = {
        0: (init_img, None), SKETCH: (sketch, None), INPAINT: _drawn(init_img_with_mask),
        INPAINT_SKETCH: _painted(inpaint_color_sketch, inpaint_color_sketch_orig, mask_alpha),
        INPAINT_UPLOAD: (init_img_inpaint, init_mask_inpaint), BATCH: (None, None),
    }  # fmt: skip
    image, mask = given[mode]
    if image is not None and selected_scale_tab == 1:
        width, height = (int(side * scale_by) for side in image.size)
    p = StableDiffusionProcessingImg2Img(
        prompt=prompt, negative_prompt=negative_prompt, styles=prompt_styles, n_iter=n_iter, batch_size=batch_size,
        cfg_scale=cfg_scale, image_cfg_scale=image_cfg_scale, denoising_strength=denoising_strength, width=width,
        height=height, init_images=[image], mask=mask, mask_blur=int(mask_blur), inpainting_fill=inpainting_fill,
        resize_mode=resize_mode, inpaint_full_res=inpaint_full_res, inpaint_full_res_padding=inpaint_full_res_padding,
        inpainting_mask_invert=inpainting_mask_invert, override_settings=_overrides(override_settings_texts),
    )  # fmt: skip
    _with_scripts(p, "scripts_img2img", request, args)
    if mode != BATCH:
        found = p.scripts.run(p, *args)
        return shown(facade("processing").process_images(p) if found is None else found)
    files = img2img_batch_upload if img2img_batch_source_type == "upload" else img2img_batch_input_dir
    made = facade("img2img").process_batch(
        p, files, img2img_batch_output_dir, img2img_batch_inpaint_mask_dir, args, to_scale=selected_scale_tab == 1,
        scale_by=scale_by, use_png_info=img2img_batch_use_png_info, png_info_props=img2img_batch_png_info_props,
        png_info_dir=img2img_batch_png_info_dir,
    )  # fmt: skip
    return ([], "", plaintext_to_html("no picture was found"), "") if made is None else shown(made)


def shown(processed: Any) -> Shown:
    """Return results as a gallery takes them."""
    text, remarks = plaintext_to_html(processed.info), plaintext_to_html(processed.comments, classname="comments")
    return [*processed.images, *processed.extra_images], processed.js(), text, remarks


def _overrides(texts: Any) -> dict[str, Any]:
    return create_override_settings_dict(list(texts or ()))


def _with_scripts(p: Any, runner: str, request: Any, args: tuple[Any, ...]) -> Any:
    from modules.compat.entrance import runner_of

    runner_of(runner.removeprefix("scripts_"))
    p.scripts_value = getattr(facade("scripts"), runner)
    p.script_args_value = list(args)
    p.user = getattr(request, "username", None)
    p.setup_scripts()
    return p


def _drawn(value: Any) -> tuple[Any, Any]:
    """Return a picture and what was drawn on it: of gradio 3's two pictures, or of an editor's layers."""
    if not isinstance(value, Mapping):
        return value, None
    found: Mapping[str, Any] = value
    if "image" in found:
        mask = found.get("mask")
        return found["image"], masks.mask_of(mask, rounded=True) if isinstance(mask, Image.Image) else None
    layers = [one for one in found.get("layers") or () if one is not None]
    return found.get("background"), masks.mask_of(layers[0], rounded=True) if layers else None


def _painted(value: Any, original: Any, alpha: float) -> tuple[Any, Any]:
    """Return a picture with what was painted on it, and a mask of that, as far as it is to be seen through."""
    import numpy as np

    if not isinstance(value, Image.Image):
        return value, None
    before = (original or value).convert("RGB")
    changed = np.any(np.array(value.convert("RGB")) != np.array(before), axis=-1)
    mask = Image.fromarray(changed.astype(np.uint8) * 255)
    share = mask.point([round(level * (100 - alpha) / 100) for level in range(256)])
    return Image.composite(value.convert("RGB"), before, share), mask
