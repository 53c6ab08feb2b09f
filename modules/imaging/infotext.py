"""Write the parameters text that travels with a picture and lets anyone make it again."""

import json
from collections.abc import Mapping
from typing import Any

from modules.domain.plan import ImagePlan, Plan
from modules.imaging.infotext_parse import parameter_entries
from modules.settings.sections import Infotext


def infotext(plan: Plan, image: ImagePlan, options: Infotext, *, version: str) -> str:
    """Describe one picture of a plan.

    Everything is taken from the plan, so the text cannot disagree with what ran. Numbers are written as Python
    prints them (`7.0` stays `7.0`).

    Args:
        plan: what runs.
        image: the picture; its prompts are those after styles and comments, with extra-network tags.
        options: which parts are wanted.
        version: written under Version; must not read as a version of A1111's before 1.8, or its readers (and ours)
            switch compatibility options on.
    """
    return compose(image.prompt, image.negative_prompt, parameters(plan, image, options, version=version))


def compose(prompt: str, negative_prompt: str, values: Mapping[str, Any]) -> str:
    """Join prompt, negative prompt and parameters line; entries whose value is None are left out."""
    entries = (key if key == value else f"{key}: {quote(value)}" for key, value in values.items() if value is not None)
    negative = f"\nNegative prompt: {negative_prompt}" if negative_prompt else ""
    return f"{prompt}{negative}\n{', '.join(entries)}".strip()


def with_entries(text: str, entries: Mapping[str, Any]) -> str:
    """Add entries to the parameters line of a text, before those that tell of the program and its user.

    Args:
        text: as `infotext` writes it, or any other.
        entries: those whose key the line has already are left out.
    """
    above, joint, line = text.rpartition("\n")
    known = dict(parameter_entries(line))
    added = compose("", "", {key: value for key, value in entries.items() if key not in known})
    if not added:
        return text
    if not known:
        return f"{text}\n{added}".strip()
    at = next((place for mark in (", Version: ", ", User: ") if (place := line.rfind(mark)) > 0), len(line))
    return f"{above}{joint}{line[:at]}, {added}{line[at:]}"


def quote(value: object) -> str:
    """Write a value so that the commas and colons in it do not end it."""
    text = str(value)
    if not any(mark in text for mark in ",:\n"):
        return text
    return json.dumps(text, ensure_ascii=False)


def parameters(plan: Plan, image: ImagePlan, options: Infotext, *, version: str) -> dict[str, Any]:
    """Return the entries of the parameters line in their order; None marks an absent one."""
    seed = plan.request.seed
    resized = seed.resize_from_width > 0 and seed.resize_from_height > 0
    varied = seed.subseed_strength != 0
    ensd = plan.noise.eta_seed_delta if plan.main.uses_ensd and plan.sampler.eta != 0 else 0
    values: dict[str, Any] = {
        "Steps": plan.main.steps,
        "Sampler": plan.main.sampler,
        "Schedule type": plan.main.schedule_label,
        "CFG scale": plan.guidance.cfg_scale,
        "Image CFG scale": None,
        "Seed": image.seed,
        "Size": f"{plan.main.size.width}x{plan.main.size.height}",
        **_files(plan, options),
        "Variation seed": image.subseed if varied else None,
        "Variation seed strength": seed.subseed_strength if varied else None,
        "Seed resize from": f"{seed.resize_from_width}x{seed.resize_from_height}" if resized else None,
        "Denoising strength": plan.strength,
        "Conditional mask weight": None,
        "Clip skip": plan.text.clip_skip if plan.text.clip_skip > 1 else None,
        "ENSD": ensd or None,
        "Token merging ratio": plan.main.merge_ratio or None,
        "Token merging ratio hr": (plan.hires.run.merge_ratio or None) if plan.hires else None,
        "Init image hash": None,
        "RNG": plan.noise.source if plan.noise.source != "GPU" else None,
        "Tiling": True if plan.tiling else None,
    }
    values.update(hires_entries(plan, image))
    values.update(plan.infotext_extra)
    values.update(plan.networks_of(image.index // plan.request.batch.size).told)
    values["Version"] = version if options.add_version_to_infotext else None
    values["User"] = plan.request.output.user if options.add_user_name_to_info else None
    return values


def _files(plan: Plan, options: Infotext) -> dict[str, Any]:
    model = plan.model
    external = model.vae is not None
    return {
        "Model hash": model.short_hash if options.add_model_hash_to_info else None,
        "Model": model.name if options.add_model_name_to_info else None,
        "FP8 weight": model.fp8 or None,
        "Cache FP16 weight for LoRA": model.keep_half if model.fp8 else None,
        "VAE hash": model.vae_hash if external and options.add_vae_hash_to_info else None,
        "VAE": model.vae.name if model.vae is not None and options.add_vae_name_to_info else None,
    }


def hires_entries(plan: Plan, image: ImagePlan) -> dict[str, Any]:
    """Return the entries that tell the second pass where it is not like the first."""
    hires, spec = plan.hires, plan.request.hires
    if hires is None or spec is None:
        return {}
    sized = spec.resize_x or spec.resize_y
    label = hires.run.schedule_label
    return {
        "Hires resize": f"{spec.resize_x}x{spec.resize_y}" if sized else None,
        "Hires checkpoint": hires.model.title if hires.model != plan.model else None,
        "Hires sampler": hires.run.sampler if hires.run.sampler != plan.main.sampler else None,
        "Hires schedule type": label if label not in ("Automatic", plan.main.schedule_label) else None,
        "Hires CFG Scale": spec.cfg_scale or None,
        "Hires prompt": image.hires_prompt if image.hires_prompt != image.prompt else None,
        "Hires negative prompt": image.hires_negative_prompt
        if image.hires_negative_prompt != image.negative_prompt
        else None,
        "Hires upscale": None if sized else spec.scale,
        "Hires steps": spec.steps or None,
        "Hires upscaler": spec.upscaler,
    }
