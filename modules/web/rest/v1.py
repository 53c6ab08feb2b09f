"""Our own contract, beside A1111's: what this program does and A1111's API cannot ask for.

`POST /v1/img2img` takes the body of `/sdapi/v1/img2img` with four more fields and answers in the same way:

- `extend` adds room around the picture and paints it in the same run: `{"left": 128, "overlap": 16}`.
- `soft_inpainting` fades what is repainted into the original: `{}` with its defaults.
- `look` is for models that look at the picture: `{"depth": "base64"}` gives a depth model the depth instead of an
  estimate, `{"noise": 300}` hides from an unCLIP model a part of what it sees.
- `folder` does the same to every picture of a folder: `{"input": "batch/in", "output": "batch/out"}`; `info` then has
  `files`, which tells of each picture what became of it.

`POST /v1/merge-checkpoints` makes a checkpoint of others and answers when the new file is there, which can be chosen at
once. Progress and interrupting are those of every job.
"""

from fastapi import APIRouter

from modules.web.rest.merge import merging
from modules.web.rest.requests import StrictRoute
from modules.web.rest.schema import own_img2img_model
from modules.web.rest.sdapi import making


def v1_router() -> APIRouter:
    """Make the routes of this file."""
    router = APIRouter(prefix="/v1", route_class=StrictRoute, tags=["v1"])
    router.add_api_route("/img2img", making("img2img", own_img2img_model()), methods=["POST"], name="own img2img")
    router.add_api_route("/merge-checkpoints", merging(), methods=["POST"], name="merge checkpoints")
    return router
