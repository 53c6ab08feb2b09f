"""The saved styles as `shared.prompt_styles`."""

from pathlib import Path
from typing import Any

from modules.compat.host import host


class StyleDatabase:
    """The saved styles."""

    @property
    def styles(self) -> dict[str, Any]:
        """Return the styles by name."""
        return {one.name: one for one in host().services().styles()}

    def get_style_prompts(self, styles: Any) -> list[str]:
        """Return what the prompts of styles say."""
        known = self.styles
        return [known[name].prompt for name in styles if name in known]

    def get_negative_style_prompts(self, styles: Any) -> list[str]:
        """Return what the negative prompts of styles say."""
        known = self.styles
        return [known[name].negative_prompt for name in styles if name in known]

    def apply_styles_to_prompt(self, prompt: str, styles: Any) -> str:
        """Write styles into a prompt."""
        from modules.prompting.styles import apply_styles

        return apply_styles(prompt, self.get_style_prompts(styles))

    def apply_negative_styles_to_prompt(self, prompt: str, styles: Any) -> str:
        """Write styles into a negative prompt."""
        from modules.prompting.styles import apply_styles

        return apply_styles(prompt, self.get_negative_style_prompts(styles))

    def extract_styles_from_prompt(self, prompt: str, negative_prompt: str) -> tuple[list[str], str, str]:
        """Find the styles whose texts prompts contain, and return the prompts without them."""
        from modules.imaging.infotext_styles import extract_styles

        return extract_styles(prompt, negative_prompt, host().services().styles())

    def reload(self) -> None:
        """Read the file again; it is read anew whenever it is used."""


def prompt_styles() -> StyleDatabase:
    """Return the saved styles."""
    return StyleDatabase()


def styles_files() -> list[Path]:
    """Return the files that styles are read from."""
    given = getattr(host().flags, "styles_file", None) or [host().layout.styles_file]
    return [Path(one) for one in given]


def materialize_styles(prompt: str, negative_prompt: str, styles: Any) -> list[Any]:
    """Write styles into the prompts of the page: what changes both boxes, and empties the list of styles."""
    import gradio as gr

    known = StyleDatabase()
    written = known.apply_styles_to_prompt(prompt, styles)
    unwanted = known.apply_negative_styles_to_prompt(negative_prompt, styles)
    return [gr.update(value=written), gr.update(value=unwanted), gr.update(value=[])]
