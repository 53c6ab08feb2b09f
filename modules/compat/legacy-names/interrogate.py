"""A1111's `modules.interrogate`."""

from modules.compat.interrogating import Interrogator as InterrogateModels

__all__ = ["InterrogateModels"]
