"""A1111's scripts: the base class, the list of those that were loaded, and the runner of each tab."""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from modules.compat.callback_params import OnComponent
from modules.compat.callbacks import guarded
from modules.compat.host import current_job
from modules.extending.script import IMG2IMG, TXT2IMG

logger = logging.getLogger(__name__)

OWN = str(Path(__file__).parent)
"""Base folder of scripts that only stand for parts of the program."""


class _AlwaysVisible:
    """Returned by `show` of scripts that always run; compared by identity."""

    def __repr__(self) -> str:
        return "AlwaysVisible"


AlwaysVisible = _AlwaysVisible()
OnCreated = Callable[[OnComponent], None]


class Script:
    """Base of the scripts of a tab."""

    name: str | None = None
    section: str | None = None
    filename: str | None = None
    args_from: int | None = None
    args_to: int | None = None
    alwayson = False
    is_txt2img = False
    is_img2img = False
    tabname: str | None = None
    group: Any = None
    create_group = True
    infotext_fields: list[Any] | None = None
    paste_field_names: list[str] | None = None
    api_info: Any = None
    on_before_component_elem_id: list[tuple[str, OnCreated]] | None = None
    on_after_component_elem_id: list[tuple[str, OnCreated]] | None = None
    setup_for_ui_only = False
    controls: Sequence[Any] | None = None
    sorting_priority = 0
    load_script_dir: str | None = None

    def title(self) -> str:
        """Return what the script is called."""
        raise NotImplementedError

    def ui(self, is_img2img: bool) -> Any:
        """Build the controls and return them in the order in which hooks get their values."""

    def show(self, is_img2img: bool) -> Any:
        """Tell whether a tab offers the script, or that it always runs there."""
        return True

    def run(self, p: Any, *args: Any) -> Any:
        """Take the place of a single run."""

    def setup(self, p: Any, *args: Any) -> None:
        """Look at a job that was just made."""

    def before_process(self, p: Any, *args: Any) -> None:
        """Change a job before anything is decided."""

    def process(self, p: Any, *args: Any) -> None:
        """Change a job whose prompts and seeds are decided."""

    def before_process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Change a batch before its tags are read."""

    def after_extra_networks_activate(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Change a batch after its tags were read."""

    def process_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Change a batch before its prompts are encoded."""

    def process_before_every_sampling(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Look at what each pass starts from."""

    def before_hr(self, p: Any, *args: Any) -> None:
        """Change a job before its hires pass."""

    def post_sample(self, p: Any, ps: Any, *args: Any) -> None:
        """Change the latents of a batch."""

    def on_mask_blend(self, p: Any, mba: Any, *args: Any) -> None:
        """Change how latents are mixed under a mask."""

    def postprocess_batch(self, p: Any, *args: Any, **kwargs: Any) -> None:
        """Change the decoded pictures of a batch."""

    def postprocess_batch_list(self, p: Any, pp: Any, *args: Any, **kwargs: Any) -> None:
        """Change the list of decoded pictures of a batch."""

    def postprocess_image(self, p: Any, pp: Any, *args: Any) -> None:
        """Change a picture."""

    def postprocess_maskoverlay(self, p: Any, ppmo: Any, *args: Any) -> None:
        """Change what is laid over a picture."""

    def postprocess_image_after_composite(self, p: Any, pp: Any, *args: Any) -> None:
        """Change a picture that was put back onto its original."""

    def postprocess(self, p: Any, processed: Any, *args: Any) -> None:
        """Change the results of a job."""

    def before_component(self, component: Any, **kwargs: Any) -> None:
        """Look at a component of the tab before it is built."""

    def after_component(self, component: Any, **kwargs: Any) -> None:
        """Look at a component of the tab that was built."""

    def on_before_component(self, callback: OnCreated, *, elem_id: str) -> None:
        """Register a function for one component of the tab, before it is built."""
        self.on_before_component_elem_id = [*(self.on_before_component_elem_id or ()), (elem_id, callback)]

    def on_after_component(self, callback: OnCreated, *, elem_id: str) -> None:
        """Register a function for one component of the tab, after it was built."""
        self.on_after_component_elem_id = [*(self.on_after_component_elem_id or ()), (elem_id, callback)]

    def describe(self) -> str:
        """Return words about the script; nobody shows them."""
        return ""

    def elem_id(self, item_id: Any) -> str:
        """Return the element id of a control of this script."""
        tab = f"{self.tabname}_" if self.show(True) == self.show(False) and self.tabname else ""
        plain = re.sub(r"[^a-z_0-9]", "", re.sub(r"\s", "_", self.title().lower()))
        return f"script_{tab}{plain}_{item_id}"


class ScriptBuiltinUI(Script):
    """A script whose element ids are those of the program's own controls."""

    setup_for_ui_only = True

    def elem_id(self, item_id: Any) -> str:
        """Return the element id of a control."""
        return f"{self.tabname}_{item_id}" if self.tabname else str(item_id)


class ScriptFile(NamedTuple):
    """A file of an extension."""

    basedir: str
    filename: str
    path: str


class ScriptClassData(NamedTuple):
    """A class that a script file defined."""

    script_class: type
    path: str
    basedir: str
    module: ModuleType


class ScriptRunner:
    """The scripts of one tab: their controls, one flat list of values, and their hooks."""

    def __init__(self) -> None:
        self.scripts: list[Any] = []
        self.selectable_scripts: list[Any] = []
        self.alwayson_scripts: list[Any] = []
        self.titles: list[str] = []
        self.title_map: dict[str, Any] = {}
        self.infotext_fields: list[Any] = []
        self.paste_field_names: list[str] = []
        self.inputs: list[Any] = [None]
        self.is_img2img = False
        self.on_before_component_elem_id: dict[str, list[Any]] = {}
        self.on_after_component_elem_id: dict[str, list[Any]] = {}

    def initialize_scripts(self, is_img2img: bool) -> None:
        """Make one object of each class that was loaded, for this tab."""
        from modules.compat.host import host

        ScriptRunner.__init__(self)
        self.is_img2img = is_img2img
        for data in host().scripts.classes():
            with guarded(f"{data.path}: {data.script_class.__name__}"):
                self._take(data)

    def _take(self, data: ScriptClassData) -> None:
        script = data.script_class()
        script.filename = data.path
        script.is_txt2img, script.is_img2img = not self.is_img2img, self.is_img2img
        script.tabname = IMG2IMG if self.is_img2img else TXT2IMG
        visible = script.show(script.is_img2img)
        if visible is AlwaysVisible:
            script.alwayson = True
            self.scripts.append(script)
            self.alwayson_scripts.append(script)
        elif visible:
            script.alwayson = False
            self.scripts.append(script)
            self.selectable_scripts.append(script)

    def script(self, title: str) -> Any:
        """Find a script by its title in any case."""
        wanted = title.lower()
        return next((one for one in self.scripts if one.title().lower() == wanted), None)

    def run(self, p: Any, *args: Any) -> Any:
        """Run the script that is chosen in the drop-down; None when none is."""
        chosen = args[0] if args else 0
        if not isinstance(chosen, int) or not 0 < chosen <= len(self.selectable_scripts):
            return None
        script = self.selectable_scripts[chosen - 1]
        return script.run(p, *args[script.args_from : script.args_to])

    def hook(self, method: str, p: Any, *first: Any, **more: Any) -> None:
        """Call a hook of every always-on script with the values of its controls.

        A script that raises is named in the notes of the job; the others are called.
        """
        job = current_job()
        report = logger.warning if job is None else job.report
        for script in list(self.alwayson_scripts):
            call = getattr(script, method, None)
            if call is None or _idle(script, method):
                continue
            with guarded(f"{_name(script)}: {method}", report):
                call(p, *first, *_values(script, p), **more)

    def setup_scrips(self, p: Any, *, is_ui: bool = True) -> None:
        """Tell always-on scripts of a job that was just made."""
        self.hook("setup", p)

    def set_named_arg(self, args: Sequence[Any], script_name: str, arg_elem_id: str, value: Any, fuzzy: bool = False) -> None:  # fmt: skip
        """Replace the value of one control in a flat list of values.

        Raises:
            ValueError: there is no such script or no such control.
        """
        script = next((one for one in self.scripts if _same(one.name or "", script_name, fuzzy)), None)
        if script is None:
            raise ValueError(f"there is no script {script_name!r}")
        for number, control in enumerate(script.controls or ()):
            if _same(getattr(control, "elem_id", None) or "", arg_elem_id, fuzzy):
                list_of(args)[script.args_from + number] = value
                return
        raise ValueError(f"the script {script_name!r} has no control {arg_elem_id!r}")


def _hook_method(name: str) -> Callable[..., None]:
    def call(self: ScriptRunner, p: Any, *first: Any, **more: Any) -> None:
        self.hook(name, p, *first, **more)

    call.__name__ = name
    call.__doc__ = f"Call `{name}` of every always-on script."
    return call


HOOKS = (
    "before_process", "process", "before_process_batch", "after_extra_networks_activate", "process_batch",
    "process_before_every_sampling", "before_hr", "post_sample", "on_mask_blend", "postprocess_batch",
    "postprocess_batch_list", "postprocess_image", "postprocess_maskoverlay", "postprocess_image_after_composite",
    "postprocess",
)  # fmt: skip
"""Methods of a runner that call the methods of the same name of its scripts."""
for _method in HOOKS:
    setattr(ScriptRunner, _method, _hook_method(_method))


def list_of(values: Any) -> list[Any]:
    """Return a list that may be changed in place.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(values, list):
        raise ValueError("the values must be a list, which can be changed")
    return values


def _same(text: str, wanted: str, fuzzy: bool) -> bool:
    return wanted.lower() in text.lower() if fuzzy else text.lower() == wanted.lower()


def _idle(script: Any, method: str) -> bool:
    """Tell whether a script left a hook as it came; an own one may also lie on the object."""
    return getattr(type(script), method, None) is getattr(Script, method, None) and method not in vars(script)


def _name(script: Any) -> str:
    try:
        return str(script.title())
    except Exception:  # noqa: BLE001 - foreign code
        return type(script).__name__


def _values(script: Any, p: Any) -> tuple[Any, ...]:
    """Return the values of a script's controls; what a request left out has its default."""
    if script.args_from is None:
        return ()
    given = tuple((p.script_args or ())[script.args_from : script.args_to])
    missing = (script.controls or ())[len(given) :]
    return (*given, *(getattr(control, "value", None) for control in missing))


@dataclass(slots=True, eq=False)
class ScriptBook:
    """All script files that were loaded, and the runners of both tabs."""

    scripts_data: list[ScriptClassData] = field(default_factory=list)
    postprocessing_data: list[ScriptClassData] = field(default_factory=list)
    postproc: Any = None
    """The `ScriptPostprocessingRunner` of the Extras tab, once somebody asked for it."""
    txt2img: ScriptRunner = field(default_factory=ScriptRunner)
    img2img: ScriptRunner = field(default_factory=ScriptRunner)
    current: Any = None
    """The runner whose controls are built at this moment."""

    @property
    def any_brought(self) -> bool:
        """Whether extensions brought scripts for the tabs that make pictures."""
        return any(data.basedir != OWN for data in self.scripts_data)

    def classes(self) -> Iterator[ScriptClassData]:
        """Yield the classes of generation scripts in the order in which they are offered."""
        yield from sorted(self.scripts_data, key=lambda data: getattr(data.script_class, "sorting_priority", 0))

    def runner(self, tab: str) -> ScriptRunner:
        """Return the runner of a tab."""
        return self.img2img if tab == IMG2IMG else self.txt2img

    def register(self, module: ModuleType, path: str, basedir: str) -> None:
        """Take the classes that a script file defined, and those that it took over from other files of extensions."""
        from modules.compat.postprocessing import ScriptPostprocessing

        known = {id(one.script_class) for one in (*self.scripts_data, *self.postprocessing_data)}
        for name, value in list(vars(module).items()):
            if not isinstance(value, type) or name.startswith("__") or id(value) in known or not _is_for(value, module):
                continue
            known.add(id(value))
            data = ScriptClassData(value, path, basedir, module)
            if issubclass(value, Script) and value is not Script:
                self.scripts_data.append(data)
            elif issubclass(value, ScriptPostprocessing) and value is not ScriptPostprocessing:
                self.postprocessing_data.append(data)


def _is_for(cls: type, module: ModuleType) -> bool:
    """Tell whether a script file is where a class counts: not one of the program, nor one of another script file."""
    if cls.__module__ == module.__name__:
        return True
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return not cls.__module__.startswith("modules.") and file is not None and Path(file).parent.name != "scripts"


def values_by_title(runner: ScriptRunner, given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return title in small letters -> values, for the always-on scripts that a request names."""
    known = {one.title().lower() for one in runner.alwayson_scripts}
    return {
        title.lower(): list((entry or {}).get("args") or ()) for title, entry in given.items() if title.lower() in known
    }


def flat_values(runner: ScriptRunner, named: Mapping[str, Iterable[Any]], chosen: tuple[str, Iterable[Any]] | None) -> list[Any]:  # fmt: skip
    """Return one list with the values of all controls of a tab.

    Args:
        runner: of the tab.
        named: title in small letters -> values from the first on.
        chosen: title and values of the script in the drop-down.
    """
    values = [getattr(control, "value", None) for control in runner.inputs]
    values[0] = 0
    for script in runner.alwayson_scripts:
        _put(values, script, named.get(script.title().lower(), ()))
    if chosen is not None:
        title, args = chosen
        place = next(
            (number for number, one in enumerate(runner.selectable_scripts) if one.title().lower() == title.lower()), -1
        )
        if place >= 0:
            values[0] = place + 1
            _put(values, runner.selectable_scripts[place], args)
    return values


def _put(values: list[Any], script: Any, given: Iterable[Any]) -> None:
    if script.args_from is None:
        return
    for place, value in zip(range(script.args_from, script.args_to), given, strict=False):
        values[place] = value
