"""`modules.api.models`: A1111's request models as real pydantic classes."""

from typing import Any

from pydantic import BaseModel, Field

from modules.web.rest import schema


class InterrogateRequest(BaseModel):
    """Asks what a picture shows."""

    image: str = ""
    model: str = "clip"


class TextToImageResponse(BaseModel):
    """Pictures and everything about them."""

    images: list[str] | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    info: str = ""


class ImageToImageResponse(TextToImageResponse):
    """The same, for runs on pictures."""


class ExtrasSingleImageRequest(BaseModel):
    """Asks for a picture to be enlarged."""

    image: str = ""
    resize_mode: int = 0
    upscaling_resize: float = 2
    upscaler_1: str = "None"


StableDiffusionTxt2ImgProcessingAPI = schema.txt2img_model()
StableDiffusionImg2ImgProcessingAPI = schema.img2img_model()
