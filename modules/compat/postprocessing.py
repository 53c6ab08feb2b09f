"""`modules.scripts_postprocessing`: steps over finished pictures, as extensions write them."""

from typing import Any


class PostprocessedImageSharedInfo:
    """What all pictures that come from one share."""

    target_width: int | None = None
    target_height: int | None = None


class PostprocessedImage:
    """A picture and what was done to it."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.info: dict[str, Any] = {}
        self.shared = PostprocessedImageSharedInfo()
        self.extra_images: list[Any] = []
        self.nametags: list[str] = []
        self.disable_processing = False
        self.caption: str | None = None

    def get_suffix(self, used_suffixes: dict[str, int] | None = None) -> str:
        """Return what the name of its file ends with, another one for each picture of the same tags."""
        used = {} if used_suffixes is None else used_suffixes
        suffix = "-".join(self.nametags)
        if not suffix:
            return ""
        suffix = f"-{suffix}"
        if suffix not in used:
            used[suffix] = 1
            return suffix
        number = used[suffix]
        while f"{suffix}-{number}" in used:
            number += 1
        used[f"{suffix}-{number}"] = 1
        return f"{suffix}-{number}"

    def create_copy(self, new_image: Any, *, nametags: list[str] | None = None, disable_processing: bool = False) -> "PostprocessedImage":  # fmt: skip
        """Return another picture that shares the information of this one."""
        made = PostprocessedImage(new_image)
        made.shared, made.nametags, made.info = self.shared, self.nametags.copy(), self.info.copy()
        made.disable_processing = disable_processing
        made.nametags += nametags or []
        return made


class ScriptPostprocessing:
    """Base of the steps."""

    filename: str | None = None
    controls: dict[str, Any] | None = None
    args_from: int | None = None
    args_to: int | None = None
    order = 1000
    name: str | None = None
    group: Any = None

    def ui(self) -> dict[str, Any] | None:
        """Build the controls and return them by the names of the arguments of `process`."""

    def process_firstpass(self, pp: PostprocessedImage, **args: Any) -> None:
        """Look at a picture before any step."""

    def process(self, pp: PostprocessedImage, **args: Any) -> None:
        """Change a picture."""

    def image_changed(self) -> None:
        """Hear that another picture is in the tab."""
