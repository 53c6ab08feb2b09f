"""Small plans for tests of names, texts and files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from modules.domain.plan import (
    GuidanceOptions,
    ImagePlan,
    NoiseOptions,
    Pass,
    Plan,
    ResolvedModel,
    SamplerOptions,
    ScheduleOptions,
    TextOptions,
)
from modules.domain.request import Generation, Size


def make_plan(*, count: int = 1, **changes: Any) -> Plan:
    """Return a plan of `count` pictures as A1111's recordings were made, with fields replaced."""
    plan = Plan(
        request=Generation(),
        images=tuple(
            ImagePlan(index=i, prompt="a (red:1.3) apple", negative_prompt="", seed=12345 + i, subseed=777)
            for i in range(count)
        ),
        model=ResolvedModel(checkpoint=Path("tiny-v1.safetensors"), name="tiny-v1", short_hash="8e89532a71"),
        main=Pass(
            size=Size(width=128, height=96),
            steps=8,
            sampler="DPM++ 2M",
            scheduler="Karras",
            schedule_label="Karras",
            uses_ensd=True,
        ),
        sampler=SamplerOptions(eta=1.0),
        schedule=ScheduleOptions(),
        text=TextOptions(),
        guidance=GuidanceOptions(cfg_scale=7.0),
        noise=NoiseOptions(),
    )
    return replace(plan, **changes)
