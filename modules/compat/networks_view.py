"""Classes that stand for layers of this program under the names and constructors that CompVis's networks have."""

from typing import Any


class View(type):
    """Metaclass of a class that stands for another one, `of`, which it derives from.

    Layers of the other class count as its instances, and what is assigned to it is assigned to the other class, so that
    extensions find the layers of a model and replace their methods. Classes that derive from a view stand for nothing.
    """

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, of: type | None = None
    ) -> "View":
        """Make a class.

        Args:
            name: of the class.
            bases: of which the first is the class that it stands for.
            namespace: its content.
            of: the class that it stands for; None for a plain class.
        """
        return super().__new__(mcs, name, bases, {**namespace, "_stands_for": of})

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, of: type | None = None) -> None:
        super().__init__(name, bases, namespace)

    def __instancecheck__(cls, instance: object) -> bool:
        """Tell whether an object is of this class or of the one that it stands for."""
        return cls.__subclasscheck__(type(instance))

    def __subclasscheck__(cls, subclass: type) -> bool:
        """Tell whether a class derives from this one or from the one that it stands for."""
        of = vars(cls)["_stands_for"]
        return super().__subclasscheck__(subclass) or (of is not None and issubclass(subclass, of))

    def __setattr__(cls, name: str, value: Any) -> None:
        """Assign to the class that it stands for."""
        of = vars(cls)["_stands_for"]
        if of is None or name in vars(cls):
            super().__setattr__(name, value)
        else:
            setattr(of, name, value)

    def __delattr__(cls, name: str) -> None:
        """Delete from the class that it stands for."""
        of = vars(cls)["_stands_for"]
        if of is None or name in vars(cls):
            super().__delattr__(name)
        else:
            delattr(of, name)
