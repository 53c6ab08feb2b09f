"""Run the benchmarks and print what they found: a short table, section by section, and everything as JSON at the end.

    python benchmarks/run.py [unet loop lora load start request samplers] [--quick] [--latent 32] [--json FILE]

Each section runs in a process of its own, so that none profits from or pays for another and peak memory is its own.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LABEL_WIDTH = 60
Row = tuple[str, Any, str]
"""Measure, value, goal."""


def unet_rows(found: dict[str, Any]) -> list[Row]:
    """Tell how UNet and VAE compare."""
    parts = {"unet": "UNet step, ours / diffusers", "vae_decode": "VAE decode, ours / diffusers"}
    rows = [
        (label, _median(found[part].get("ours/diffusers")), f"<= {found[part]['goal']}")
        for part, label in parts.items()
    ]
    return [*rows, ("UNet step, times the floor", found["unet"]["ours/floor"], ""), _memory(found)]


def loop_rows(found: dict[str, Any]) -> list[Row]:
    """Tell what a step costs around the network."""
    rows: list[Row] = []
    for name, one in found.items():
        if isinstance(one, dict):
            goal = f"<= {found['goal_us_per_step']:.0f}"
            rows.append((f"{name}: us per step around a free network", one["ours"]["us_per_step"]["min"], goal))
            for peer in ("diffusers", "k_diffusion"):
                rows.append((f"{name}: ours / {peer}", _median(one.get(f"ours/{peer}")), "< 1"))
    return rows


def load_rows(found: dict[str, Any]) -> list[Row]:
    """Tell how loading compares with reading."""
    label = f"load to {found['dtype']}, CPU time"
    return [
        (f"{label} / reading into memory", found["ours/read"], f"<= {found['goal_ours/read']:.0f}"),
        (f"{label} / default construction and copy", found["ours/usual"], "< 1"),
        ("memory of its own after loading, MB", found["ours"]["own_mb"], f"file: {found['file_mb']:.0f}"),
    ]


def start_rows(found: dict[str, Any]) -> list[Row]:
    """Tell how long a start takes."""
    peer = found.get("import torch, gradio, diffusers", {}).get("cpu_s", "not installed")
    return [
        ("start to first answer, s", found["webui"]["first_answer_s"], ""),
        ("start to first answer, CPU s", found["webui"]["cpu_s"], "<= 0.6"),
        ("importing torch, gradio, diffusers, CPU s", peer, ""),
    ]


def request_rows(found: dict[str, Any]) -> list[Row]:
    """Tell what a request and a PNG cost."""
    png = found["png"]
    return [
        ("request that does nothing, ms", found["request_that_does_nothing_ms"]["median"], "<= 1.5"),
        ("fixed cost of a request, ms", found["fixed_ms"]["median"], "<= 5"),
        ("fixed cost of a request, CPU ms of server and client", found["fixed_cpu_ms"]["median"], "<= 1"),
        (f"PNG of {png['side'][0]} pixels, ms", png["ours_ms"]["median"], "<= 80 at 1024"),
        ("PNG, ours / Pillow", _median(png["ours/pillow"]), "< 1"),
        ("PNG size, ours / Pillow", png["size_ours/pillow"], "<= 1.08"),
    ]


def sampler_rows(found: dict[str, Any]) -> list[Row]:
    """Tell what every sampler needs beside Euler, and a request beside its networks."""
    request, goal = found["request"], found["goal_request/networks"]
    rows: list[Row] = [
        ("txt2img request / its network calls, CPU", _median(request["cpu/networks"]), f"<= {goal}"),
        ("txt2img request / its network calls, wall", _median(request["wall/networks"]), f"<= {goal}"),
    ]
    for label, one in found["samplers"].items():
        calls = f"{one['calls_per_step']} calls a step, each x {_median(one['per_call/euler'])}"
        rows.append((f"{label}: step / Euler's", _median(one["per_step/euler"]), calls))
    return rows


def lora_rows(found: dict[str, Any]) -> list[Row]:
    """Tell what a change of LoRA costs."""
    peers = {"switch": ("peft, merged",), "first_step": ("peft, merged",), "first_step_beside": ("peft, beside",)}
    rows: list[Row] = [("change of LoRA, CPU s", _median(found["switch"]["ours"]["s"]), f"<= {found['goal_s']}")]
    for part, names in peers.items():
        for name in names:
            label = f"{part.split('_beside')[0].replace('_', ' ')} with another LoRA, ours / {name}"
            rows.append((label, _median(found.get(part, {}).get(f"ours/{name}")), "< 1"))
    return [*rows, ("original weights restored exactly", found["restored_exactly"], "True")]


SECTIONS: dict[str, tuple[str, Callable[[dict[str, Any]], list[Row]], list[str]]] = {
    "loop": ("loop_overhead", loop_rows, ["--rounds", "3", "--steps", "40"]),
    "unet": ("unet_step", unet_rows, ["--rounds", "3", "--width", "32", "--vae-width", "32", "--latent", "16"]),
    "lora": ("lora_switch", lora_rows, ["--rounds", "2", "--width", "32"]),
    "load": ("load_time", load_rows, ["--rounds", "1", "--width", "32"]),
    "start": ("cold_start", start_rows, ["--runs", "1"]),
    "request": ("request_overhead", request_rows, ["--requests", "5", "--rounds", "2"]),
    "samplers": ("sampler_cost", sampler_rows, ["--requests", "2", "--rounds", "1", "--steps", "4"]),
}
"""Section -> module, its rows of the table, what makes it quick."""


def _median(found: Any) -> Any:
    return found["median"] if isinstance(found, dict) else "peer not installed"


def _memory(found: dict[str, Any]) -> Row:
    return ("peak memory of the section, both programs, MB", found["peak_rss_mb"], "")


def measure(section: str, options: list[str]) -> dict[str, Any]:
    """Run one section in a process of its own.

    Raises:
        SystemExit: it failed; its messages were printed.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{SECTIONS[section][0]}", *options]
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if ended.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {ended.returncode}")
    return json.loads(ended.stdout)


def table(title: str, rows: list[Row]) -> str:
    """Lay rows out as text."""
    return "\n".join([title, *(f"  {label:<{LABEL_WIDTH}}{value!s:>18}  {goal}" for label, value, goal in rows)])


def main() -> None:
    """Measure what was asked for and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="section", help=f"of {', '.join(SECTIONS)}; all without any")
    parser.add_argument("--quick", action="store_true", help="small networks and few rounds: shows that it works")
    parser.add_argument("--latent", type=int, help="side of the latent for UNet and VAE; 64 makes 512 pixels")
    parser.add_argument("--json", type=Path, help="write the JSON to this file instead of the screen")
    asked = parser.parse_args()
    if unknown := set(asked.sections) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    found: dict[str, Any] = {}
    for section in asked.sections or SECTIONS:
        _, tell, quick = SECTIONS[section]
        options = [*quick] if asked.quick else []
        if section == "unet" and asked.latent:
            options += ["--latent", str(asked.latent)]
        found[section] = measure(section, options)
        print(table(section, tell(found[section])), end="\n\n", flush=True)
    text = json.dumps({"machine": {"cpus": os.cpu_count(), "python": sys.version.split()[0]}, **found}, indent=2)
    if asked.json:
        asked.json.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
