"""Reads its flags and those of the program."""

from modules import paths, script_callbacks, shared
from modules.shared import cmd_opts

COLOUR = getattr(cmd_opts, "flag_colour", None)
FOLDER = cmd_opts.embeddings_dir


def started(_, app):
    @app.get("/flag")
    def flag():
        return {"colour": COLOUR, "high": cmd_opts.flag_high, "models": paths.models_path, "lowvram": cmd_opts.lowvram}


script_callbacks.on_app_started(started)
shared.options_templates.update(
    shared.options_section(
        ("flag", "Flag"), {"flag_pattern": shared.OptionInfo(["a", "b"], "Pattern").info("two letters")}
    )
)
PATTERN = shared.opts.flag_pattern
