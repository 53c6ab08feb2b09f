"""A1111's `modules.infotext_versions`: since when keys of parameters texts mean what they mean."""

from packaging.version import parse as _parse

from modules.imaging.infotext_compat import old_versions as backcompat

__all__ = ["backcompat"]

v160 = _parse("1.6.0")
v170_tsnr = _parse("1.7.0-225")
v180 = _parse("1.8.0")
v180_hr_styles = _parse("1.8.0-139")
