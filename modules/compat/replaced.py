"""Whether extensions replaced a method. What was put back is not, however it was: they assign originals again."""

from typing import Any


def is_own(thing: Any, name: str, own: Any) -> bool:
    """Tell whether a method of an object is what its class had from the beginning.

    An extension that replaces a method keeps the original, `thing.method`, and assigns that in the end. Then the object has
    an attribute of its own for good, but nobody replaced anything.

    Args:
        thing: whose method it is.
        name: of the method.
        own: the function that the class was written with.
    """
    found = getattr(thing, name, None)
    return getattr(found, "__func__", None) is own and getattr(found, "__self__", None) is thing
