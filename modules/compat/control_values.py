"""Values of controls of scripts: as the page sends them, as a request carries them, as scripts get them."""

import base64
import io
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from modules.compat.host import host
from modules.domain.errors import InvalidRequest

PICTURE = "data:image/png;base64,"
PICTURE_KEY, ARRAY_KEY, HELD_KEY = "picture", "array", "held"
"""Keys of objects that stand for a picture, for one as an array, and for something that only this process has."""
MODES = ("L", "RGB", "RGBA")
MOST_HELD = 256


def read_all(script: Any, sent: Mapping[int, Any]) -> list[Any]:
    """Read what the page sent for the controls of a script.

    Args:
        script: one of A1111's.
        sent: place -> raw value; empty controls send none.

    Raises:
        InvalidRequest: a value that its control cannot take.
    """
    return [to_plain(read(control, sent.get(place))) for place, control in enumerate(script.controls or ())]


def read(control: Any, raw: Any) -> Any:
    """Return the value that a handler of a control would get; gradio has checked its files already.

    Raises:
        InvalidRequest: the control cannot take it.
    """
    if getattr(control, "stateful", False):
        return raw
    model = getattr(control, "data_model", None)
    try:
        given = raw if model is None or raw is None else model.model_validate(raw)
        return control.preprocess(given)
    except Exception as error:
        raise InvalidRequest(f"{getattr(control, 'label', None) or 'a control'}: {error}", field="scripts") from error


def to_plain(value: Any) -> Any:
    """Make a value of a control one that a request can carry; pictures become data addresses."""
    if isinstance(value, Image.Image):
        return {PICTURE_KEY: _encoded(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return str(value) if type(value) is not str and isinstance(value, str) else value
    if type(value) in (list, tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: to_plain(one) for key, one in value.items()}
    if hasattr(value, "shape"):
        return _plain_array(value)
    return _held(value)


def _plain_array(value: Any) -> Any:
    import numpy as np

    array = np.asarray(value)
    pixels = array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4)))
    if not pixels:
        return array.tolist()
    picture = Image.fromarray(array)
    return {ARRAY_KEY: _encoded(picture), "mode": picture.mode}


def _encoded(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "png", compress_level=1)
    return PICTURE + base64.b64encode(data.getvalue()).decode()


def _held(value: Any) -> dict[str, str]:
    """Keep an object of an extension's own; only its name goes into the request."""
    held, name = host().held, secrets.token_hex(8)
    held[name] = value
    while len(held) > MOST_HELD:
        del held[next(iter(held))]
    return {HELD_KEY: name}


def to_value(value: Any) -> Any:
    """Give a script the value that a request carried; None for an object that an earlier process had."""
    if isinstance(value, Mapping):
        return _from_object(value)
    return [to_value(one) for one in value] if isinstance(value, list | tuple) else value


def _from_object(value: Mapping[str, Any]) -> Any:
    from modules.compat.results import opened
    from modules.imaging.open import decode_base64, open_image

    key = next(iter(value)) if len(value) == 1 else None
    if key == PICTURE_KEY and isinstance(value[key], str):
        return opened(decode_base64(value[key]))
    if set(value) == {ARRAY_KEY, "mode"} and value["mode"] in MODES:
        import numpy as np

        return np.asarray(open_image(decode_base64(str(value[ARRAY_KEY]))).convert(value["mode"]))
    if key == HELD_KEY:
        return host().held.get(str(value[key]))
    return {name: to_value(one) for name, one in value.items()}


def by_place(sent: Mapping[str, Any], title: str) -> dict[int, Any] | None:
    """Return the raw values of one script by the place of their controls; None when the page has none of them.

    Args:
        sent: `<title in small letters>/<place>` -> raw value.
        title: in small letters.
    """
    names = {name.rpartition("/")[2]: value for name, value in sent.items() if name.rpartition("/")[0] == title}
    found = {int(name): value for name, value in names.items() if name.isdigit()}
    return found or None


def read_call(script: Any, args: Sequence[Any]) -> tuple[Any, ...]:
    """Read the values of a script of the drop-down.

    Raises:
        InvalidRequest: a value that its control cannot take.
    """
    return tuple(read_all(script, dict(enumerate(args))))
