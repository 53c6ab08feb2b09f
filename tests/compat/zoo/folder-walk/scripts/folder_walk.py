"""Puts its own in the place of runs over folders, and calls the original."""

from modules import img2img, script_callbacks

SEEN = []
ORIGINAL = img2img.process_batch


def process_batch(p, input, output_dir, inpaint_mask_dir, args, **kwargs):
    SEEN.append((type(p).__name__, input, kwargs["scale_by"]))
    p.prompt = f"{p.prompt}, from a folder"
    p.denoising_strength = 0.3
    return ORIGINAL(p, input, output_dir, inpaint_mask_dir, args, **kwargs)


def unload():
    img2img.process_batch = ORIGINAL


img2img.process_batch = process_batch
script_callbacks.on_script_unloaded(unload)
