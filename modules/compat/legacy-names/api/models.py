"""A1111's `modules.api.models`; star imports rely on what it imports itself."""

import inspect
from typing import Any, Callable, Dict, List, Literal, Optional

from pydantic import BaseModel, ConfigDict, Field, create_model

from modules.compat.web_models import (
    ExtrasSingleImageRequest,
    ImageToImageResponse,
    InterrogateRequest,
    StableDiffusionImg2ImgProcessingAPI,
    StableDiffusionTxt2ImgProcessingAPI,
    TextToImageResponse,
)

__all__ = [
    "Any", "BaseModel", "Callable", "ConfigDict", "Dict", "ExtrasSingleImageRequest", "Field", "ImageToImageResponse",
    "InterrogateRequest", "List", "Literal", "Optional", "StableDiffusionImg2ImgProcessingAPI",
    "StableDiffusionTxt2ImgProcessingAPI", "TextToImageResponse", "create_model", "inspect",
]  # fmt: skip
