"""`ScriptPostprocessingRunner`: all steps over finished pictures, as extensions look at and run them."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from modules.compat.callbacks import guarded
from modules.compat.host import current_job, host
from modules.compat.old_gradio import serving_old_idioms
from modules.compat.postprocessing import PostprocessedImage
from modules.compat.script_controls import apart

logger = logging.getLogger(__name__)


class ScriptPostprocessingRunner:
    """All steps, those of the program among them, as extensions look at and run them."""

    def __init__(self) -> None:
        self.scripts: list[Any] = []
        self.ui_created = False

    def initialize_scripts(self, scripts_data: Iterable[Any]) -> None:
        """Make one object of each class; one that cannot be made is named and left out."""
        self.scripts, self.ui_created = [], False
        for data in scripts_data:
            with guarded(f"{data.path}: {data.script_class.__name__}"):
                script = data.script_class()
                script.filename = data.path
                self.scripts.append(script)

    def create_script_ui(self, script: Any, inputs: list[Any]) -> None:
        """Build the controls of one step; one that fails has none."""
        script.args_from = script.args_to = len(inputs)
        script.controls = {}
        with guarded(f"{script.name}: ui"), serving_old_idioms():
            script.controls = dict(script.ui() or {})
        inputs += script.controls.values()
        script.args_to = len(inputs)

    def scripts_in_preferred_order(self) -> list[Any]:
        """Return the steps in the order in which they run: those that the settings name first."""
        settings = host().settings.snapshot().postprocessing
        place = {name: number for number, name in enumerate(settings.postprocessing_operation_order)}
        shown = [one for one in self.scripts if one.name not in settings.postprocessing_disable_in_extras]
        return sorted(shown, key=lambda one: (place.get(one.name, len(place)), one.order, str(one.name)))

    def setup_ui(self) -> list[Any]:
        """Build the controls of all steps in the block that is open, and return them."""
        inputs: list[Any] = []
        for script in self.scripts_in_preferred_order():
            self.create_script_ui(script, inputs)
        self.ui_created = True
        return inputs

    def run(self, pp: PostprocessedImage, args: Sequence[Any]) -> None:
        """Pass a picture through the steps; what they add to it ends up in its `extra_images`."""
        steps = [(one, self._values(one, args)) for one in self.scripts_in_preferred_order()]
        for script, values in steps:
            with guarded(f"{script.name}: process_firstpass", _report()):
                script.process_firstpass(pp, **values)
        every = [pp]
        for script, values in steps:
            for one in [one for one in every if not one.disable_processing]:
                with guarded(f"{script.name}: process", _report()):
                    script.process(one, **values)
                every += extra_pictures(one)
        pp.extra_images = every[1:]

    def create_args_for_run(self, scripts_args: Mapping[str, Mapping[str, Any]]) -> list[Any]:
        """Return one flat list of values; those of steps that are not named are None.

        Args:
            scripts_args: name of a step -> values by name.
        """
        if not self.ui_created:
            apart(self.setup_ui)
        found: list[Any] = []
        for script in self.scripts_in_preferred_order():
            given = scripts_args.get(script.name, {})
            found += [None] * (script.args_from - len(found)) + [given.get(name) for name in script.controls or {}]
        return found

    def image_changed(self) -> None:
        """Tell all steps that another picture is in the tab."""
        for script in self.scripts:
            with guarded(f"{script.name}: image_changed"):
                script.image_changed()

    @staticmethod
    def _values(script: Any, args: Sequence[Any]) -> dict[str, Any]:
        given = list(args[script.args_from or 0 : script.args_to])
        return dict(zip(script.controls or {}, given, strict=False))


def extra_pictures(pp: PostprocessedImage) -> list[PostprocessedImage]:
    """Take what a step added to a picture; plain pictures get its information."""
    added, pp.extra_images = pp.extra_images, []
    return [one if isinstance(one, PostprocessedImage) else pp.create_copy(one) for one in added]


def _report() -> Callable[[str], None]:
    job = current_job()
    return logger.warning if job is None else job.report
