"""The program's version, in one place."""

VERSION = "0.1.0"

INFOTEXT_VERSION = f"webui-{VERSION}"
"""What pictures carry under `Version`.

It must not look like A1111's own numbers: A1111 switches old behaviour on when it reads a version below 1.6.
"""
