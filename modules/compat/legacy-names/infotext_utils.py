"""A1111's `modules.infotext_utils`."""

from modules.compat.facade import compute
from modules.compat.host import host as _host
from modules.compat.infotexts import (
    ParamBinding,
    PasteField,
    bind_buttons,
    connect_paste_params_buttons,
    create_buttons,
    create_override_settings_dict,
    get_override_settings,
    image_from_url_text,
    parse_generation_parameters,
    quote,
    register_paste_params_button,
    unquote,
)
from modules.compat.infotexts import bindings as _bindings
from modules.compat.send_buttons import add_paste_fields

__all__ = [
    "ParamBinding", "PasteField", "add_paste_fields", "bind_buttons", "connect_paste_params_buttons", "create_buttons",
    "create_override_settings_dict", "get_override_settings", "image_from_url_text", "parse_generation_parameters",
    "quote", "register_paste_params_button", "unquote",
]  # fmt: skip

compute(__name__, {"registered_param_bindings": _bindings, "paste_fields": lambda: _host().paste_fields})
