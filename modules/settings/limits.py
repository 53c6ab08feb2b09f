"""The limits of requests that the settings give."""

from modules.domain.limits import Limits
from modules.settings.snapshot import Snapshot


def limits_of(settings: Snapshot) -> Limits:
    """Return the limits of requests that the settings give."""
    api = settings.api
    return Limits(
        max_image_pixels=int(api.api_max_result_mpixels * 1e6),
        max_total_pixels=int(api.api_max_total_mpixels * 1e6),
        max_images=api.api_max_images_per_request,
        max_prompt_chars=api.api_max_prompt_chars,
    )
