"""Models of pydantic 1 that extensions define."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = """
import warnings
warnings.simplefilter("ignore")
from modules.compat import old_pydantic
from modules.compat.serving import serving
old_pydantic.install()
old_pydantic.install()
import pydantic
from pydantic import BaseModel, Field, ValidationError, root_validator, validator
from typing import Optional, Union

with serving():
    class Base(BaseModel):
        name: Optional[str]
        size: Optional[int] = Field(title="Size", ge=0)
        text: "Optional[str]"
        must: int = Field(title="Must")
        class Config:
            orm_mode = True
            allow_population_by_field_name = True
            smart_union = True
            def schema_extra(schema, model):
                schema["properties"].pop("text")

    class Kite(Base):
        length: float = Field(3, alias="kite_length")
        class Config(Base.__config__):
            exclude = ["name"]

        @validator("length", always=True, pre=True)
        def not_short(cls, value):
            return max(float(value), 2)

        @root_validator
        def together(cls, values):
            return {**values, "name": values["name"] or "kite"}

class Row:
    name, size, text, must, kite_length = "row", 4, "x", 5, 1

made = Kite(must=1, length=1)
assert (made.name, made.size, made.text, made.length) == ("kite", None, None, 2.0), made
assert Kite.from_orm(Row()).dict() == {"name": "row", "size": 4, "text": "x", "must": 5, "length": 2.0}
assert list(Kite.schema()["properties"]) == ["name", "size", "must", "kite_length"]
for wrong in ({}, {"must": 1, "size": -1}):
    try:
        Kite(**wrong)
    except ValidationError:
        continue
    raise AssertionError(wrong)

class Own(BaseModel):
    name: Optional[str]
try:
    Own()
except ValidationError:
    print("own", pydantic.VERSION[0])
"""


def test_they_mean_what_they_meant_and_nobody_elses_change():
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "own 2\n", done.stderr
