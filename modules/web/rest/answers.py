"""What `/sdapi/v1/txt2img` and `/img2img` give back."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from modules.domain.plan import Plan
from modules.domain.result import FileReport, Outcome, Produced
from modules.imaging.infotext import hires_entries
from modules.settings.snapshot import Snapshot
from modules.web.rest.schema import MakeBody


def made_answer(
    body: MakeBody, outcome: Outcome, settings: Snapshot, *, version: str, warnings: Sequence[str] = ()
) -> bytes:
    """Encode the whole answer; the pictures' bytes are those that were saved, so nothing is encoded twice.

    Args:
        body: the request, echoed under `parameters`.
        outcome: what the job made.
        settings: those of the request; `return_grid` decides about the grid.
        version: `version` in `info`.
        warnings: sentences about names that had to be replaced.
    """
    asked = body.model_dump()
    pictures = shown_pictures(outcome, with_grid=settings.ui.return_grid and asked["save_images"])
    images = [base64.b64encode(picture.data).decode("ascii") for picture in pictures] if asked["send_images"] else []
    info = info_of(outcome, pictures, asked, version=version, warnings=warnings)
    answer = {"images": images, "parameters": echo_of(asked), "info": json.dumps(info, ensure_ascii=False)}
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def echo_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return the request as it is sent back: without the pictures it brought, unless it wants them."""
    kept = asked.get("include_init_images", True)
    return {
        key: None if key in ("init_images", "mask", "latent_mask") and not kept else value
        for key, value in asked.items()
    }


def shown_pictures(outcome: Outcome, *, with_grid: bool) -> list[Produced]:
    """Return the pictures in the order of the answer: the grid first."""
    return [*([outcome.grid] if outcome.grid is not None and with_grid else []), *outcome.images]


def info_of(
    outcome: Outcome, pictures: Sequence[Produced], asked: Mapping[str, Any], *, version: str, warnings: Sequence[str]
) -> dict[str, Any]:
    """Describe what ran, with A1111's keys, and `warnings` and `save_error` of our own."""
    plan = outcome.plan
    request, model = plan.request, plan.model
    first = plan.images[0]
    return {
        "prompt": first.prompt,
        "all_prompts": [image.prompt for image in plan.images],
        "negative_prompt": first.negative_prompt,
        "all_negative_prompts": [image.negative_prompt for image in plan.images],
        "seed": first.seed if outcome.seed is None else outcome.seed,
        "all_seeds": [image.seed for image in plan.images],
        "subseed": first.subseed,
        "all_subseeds": [image.subseed for image in plan.images],
        "subseed_strength": request.seed.subseed_strength,
        "width": request.run_size.width,
        "height": request.run_size.height,
        "sampler_name": plan.main.sampler,
        "cfg_scale": request.guidance.cfg_scale,
        "steps": plan.main.steps,
        "batch_size": request.batch.size,
        "restore_faces": bool(request.post.restore_faces),
        "face_restoration_model": plan.infotext_extra.get("Face restoration"),
        "sd_model_name": model.name,
        "sd_model_hash": model.short_hash,
        "sd_vae_name": model.vae.name if model.vae is not None else None,
        "sd_vae_hash": model.vae_hash,
        "seed_resize_from_w": request.seed.resize_from_width,
        "seed_resize_from_h": request.seed.resize_from_height,
        "denoising_strength": asked["denoising_strength"],
        "extra_generation_params": extra_params(plan),
        "index_of_first_image": sum(picture.plan is None for picture in pictures[:1]),
        "infotexts": [*(picture.infotext for picture in pictures if not picture.extra), *outcome.texts],
        "styles": list(request.styles),
        "job_timestamp": plan.created.strftime("%Y%m%d%H%M%S"),
        "clip_skip": plan.text.clip_skip,
        "is_using_inpainting_conditioning": "Conditional mask weight" in plan.infotext_extra,
        "version": version,
        "warnings": [*warnings, *(note.text for note in outcome.notes)],
        **({"files": [_told(report) for report in outcome.files]} if outcome.files else {}),
        **({"save_error": outcome.save_error} if outcome.save_error else {}),
    }


def _told(report: FileReport) -> dict[str, Any]:
    """Describe what became of one picture of a folder; folders of this machine are not told."""
    saved = [path.name for path in report.saved_as]
    return {"name": report.name, "state": report.state, "saved_as": saved, "reason": report.reason}


def extra_params(plan: Plan) -> dict[str, Any]:
    """Return the infotext keys beyond the core ones; the schedule counts among them unless it is Automatic."""
    label = plan.main.schedule_label
    return {
        **({} if label == "Automatic" else {"Schedule type": label}),
        **({} if plan.strength is None else {"Denoising strength": plan.strength}),
        **{key: value for key, value in hires_entries(plan, plan.images[0]).items() if value is not None},
        **plan.infotext_extra,
    }
