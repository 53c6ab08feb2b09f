"""A1111's `Processed`: what came of a job, as extensions read and change it."""

import io
import json
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from modules.domain.result import Outcome


class Processed:
    """The results of a job."""

    def __init__(
        self, p: Any, images_list: list[Any], seed: Any = -1, info: str = "", subseed: Any = None,
        all_prompts: Any = None, all_negative_prompts: Any = None, all_seeds: Any = None, all_subseeds: Any = None,
        index_of_first_image: int = 0, infotexts: Any = None, comments: str = "",
    ) -> None:  # fmt: skip
        self.images = images_list
        self.prompt = p.prompt
        self.negative_prompt = p.negative_prompt
        self.seed = seed
        self.subseed = subseed
        self.subseed_strength = p.subseed_strength
        self.info = info
        self.comments = comments or "".join(f"{text}\n" for text in p.comments or ())
        self.width = p.width
        self.height = p.height
        self.sampler_name = p.sampler_name
        self.cfg_scale = p.cfg_scale
        self.image_cfg_scale = getattr(p, "image_cfg_scale", None)
        self.steps = p.steps
        self.batch_size = p.batch_size
        self.restore_faces = p.restore_faces
        self.face_restoration_model = None
        self.sd_model_name = p.sd_model_name
        self.sd_model_hash = p.sd_model_hash
        self.sd_vae_name = p.sd_vae_name
        self.sd_vae_hash = p.sd_vae_hash
        self.seed_resize_from_w = p.seed_resize_from_w
        self.seed_resize_from_h = p.seed_resize_from_h
        self.denoising_strength = getattr(p, "denoising_strength", None)
        self.extra_generation_params = p.extra_generation_params
        self.index_of_first_image = index_of_first_image
        self.styles = p.styles
        self.job_timestamp = ""
        self.clip_skip = 1
        self.eta = p.eta
        self.is_using_inpainting_conditioning = p.is_using_inpainting_conditioning
        self.extra_images: list[Any] = []
        self.all_prompts = all_prompts or p.all_prompts or [_first(self.prompt)]
        self.all_negative_prompts = all_negative_prompts or p.all_negative_prompts or [_first(self.negative_prompt)]
        self.all_seeds = all_seeds or p.all_seeds or [self.seed]
        self.all_subseeds = all_subseeds or p.all_subseeds or [self.subseed]
        self.infotexts = infotexts or [info] * len(images_list)
        self.version = ""

    def js(self) -> str:
        """Return everything but the pictures as JSON."""
        hidden = {"images", "extra_images", "comments", "outcome"}
        return json.dumps({key: value for key, value in vars(self).items() if key not in hidden}, default=str)

    def infotext(self, p: Any, index: int) -> str:
        """Return the parameters text of a picture."""
        from modules.compat.host import facade

        create = facade("processing").create_infotext
        return create(p, self.all_prompts, self.all_seeds, self.all_subseeds, comments=[], position_in_batch=index % self.batch_size, iteration=index // self.batch_size)  # fmt: skip

    def get_token_merging_ratio(self, for_hr: bool = False) -> float:
        """Return the share of tokens that was merged."""
        return 0.0


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def processed_of(p: Any, outcome: "Outcome") -> Processed:
    """Show an outcome to extensions."""
    shown = [*([outcome.grid] if outcome.grid else []), *outcome.images]
    plan = outcome.plan
    infotexts = [one.infotext for one in shown]
    found = Processed(
        p, [opened(one.data) for one in shown], seed=plan.images[0].seed, subseed=plan.images[0].subseed,
        info=infotexts[0] if infotexts else "", index_of_first_image=1 if outcome.grid else 0, infotexts=infotexts,
        all_prompts=[one.prompt for one in plan.images], all_seeds=[one.seed for one in plan.images],
        all_negative_prompts=[one.negative_prompt for one in plan.images],
        all_subseeds=[one.subseed for one in plan.images],
    )  # fmt: skip
    for image, one in zip(found.images, shown, strict=True):
        image.info["parameters"] = one.infotext
        if one.saved_as is not None:
            image.already_saved_as = str(one.saved_as)
    found.clip_skip, found.job_timestamp = plan.text.clip_skip, plan.created.strftime("%Y%m%d%H%M%S")
    return found


def opened(data: bytes) -> Image.Image:
    """Decode a picture that this program encoded."""
    from modules.imaging.open import open_image

    return open_image(data)


def encoded(image: Any, infotext: str, format: str) -> tuple[bytes, str, tuple[int, int]]:
    """Encode a picture of an extension.

    Returns:
        The bytes, the format they have, and the size.
    """
    from modules.imaging.encode import FORMATS, encode

    picture = as_picture(image)
    made = encode(picture, format if format in FORMATS else "png", infotext or None)
    return made.data, made.format, picture.size


def as_picture(image: Any) -> Image.Image:
    """Return a picture from what extensions put into results: a picture, an array, or the path of a file."""
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str):
        with open(image, "rb") as file:
            return opened(file.read())
    if isinstance(image, bytes):
        return opened(io.BytesIO(image).getvalue())
    import numpy as np

    return Image.fromarray(np.asarray(image).astype(np.uint8))
