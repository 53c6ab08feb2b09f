"""Adds routes that take and give pictures."""

import gradio as gr
from fastapi import Body, FastAPI, HTTPException

from modules import script_callbacks, shared
from modules.api import api
from modules.api.models import *  # noqa: F403


class Answer(BaseModel):  # noqa: F405
    image: str
    tags: Optional[List[str]] = Field(default=None)  # noqa: F405


def routes(demo: Optional[gr.Blocks], app: FastAPI):  # noqa: F405
    @app.get("/corner/version")
    async def version():
        return {"version": 3, "checkpoint": shared.opts.sd_model_checkpoint, "job": shared.state.job_count}

    @app.post("/corner/mirror", response_model=Answer)
    def mirror(image: str = Body(...), tag: str = Body("none")):
        if tag == "bad":
            raise HTTPException(status_code=422, detail="a bad tag")
        found = api.decode_base64_to_image(image)
        return Answer(image=api.encode_pil_to_base64(found.transpose(0)).decode(), tags=[tag])


script_callbacks.on_app_started(routes)
