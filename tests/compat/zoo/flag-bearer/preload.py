"""Adds flags."""

import argparse


def preload(parser: argparse.ArgumentParser):
    parser.add_argument("--flag-colour", type=str, default="red", help="colour of the flag")
    parser.add_argument("--flag-high", action="store_true")
    parser.add_argument("--port", type=int, help="a flag that the program has already")
