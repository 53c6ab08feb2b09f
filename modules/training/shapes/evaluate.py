"""Measure a checkpoint without a person: held-out captions, relations of two objects, and how prompts are obeyed."""

import json
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from modules.families.family import Components
from modules.training.shapes.behaviour import measure_behaviour
from modules.training.shapes.captions import full_caption, write_caption
from modules.training.shapes.dataset import labels_of
from modules.training.shapes.drawing import draw
from modules.training.shapes.judge import SLOTS, Judge, JudgeStage, read
from modules.training.shapes.loop import Budget, Loop, Plan
from modules.training.shapes.measure import colour_centre, read_pixels
from modules.training.shapes.render import Look, load, render
from modules.training.shapes.scenes import Scene, sample_scene
from modules.training.shapes.sheet import save_sheet
from modules.training.shapes.vocabulary import SLOTS as ALL_SLOTS

logger = logging.getLogger(__name__)

BARS = {"colour": 0.9, "background": 0.9, "shape": 0.8, "position": 0.8}
"""What the shipped checkpoint must reach on held-out captions."""
JUDGE_SCENES = 32_768
SHOWN = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to measure."""

    captions: int = 500
    cfg_scales: tuple[float, ...] = (7.0,)
    judge: Budget
    seed: int = 1234


def evaluate(path: Path, folder: Path, device: torch.device, wish: Wish) -> dict[str, dict[str, float]]:
    """Measure a checkpoint; writes contact sheets and `evaluation.json` into the folder.

    Returns:
        Rows of the table: name -> measure -> share that is right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = load(path, device)
    there_and_back = partial(round_trip, model)
    judge = train_judge(folder, device, there_and_back, wish)
    rng = random.Random(wish.seed)
    scenes = [sample_scene(rng, held_out=True, emphasis=0.0) for _ in range(wish.captions)]
    captions = [str(full_caption(scene, rng)) for scene in scenes]
    drawn = draw(torch.tensor([scene.numbers() for scene in scenes], device=device), 128, 128)
    coded = torch.cat([there_and_back(part) for part in drawn.split(64)])
    table = {"drawn": score(scenes, drawn, judge), "drawn, coded": score(scenes, coded, judge)}
    for cfg in wish.cfg_scales:
        pictures = render(model, captions, Look(cfg_scale=cfg), first_seed=wish.seed).to(device)
        table[f"cfg {cfg:g}"] = score(scenes, pictures, judge)
        save_sheet(folder / f"held-out-cfg{cfg:g}.png", pictures[:SHOWN], captions[:SHOWN])
    table["two objects"] = relations(model, folder, rng, max(wish.captions // 5, 1))
    table["prompts"] = measure_behaviour(partial(render, model), folder)
    (folder / "evaluation.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return table


def passes(table: dict[str, dict[str, float]]) -> bool:
    """Say whether every guidance scale measured reaches all bars."""
    rows = [row for name, row in table.items() if name.startswith("cfg ")]
    return all(row[name] >= bar for row in rows for name, bar in BARS.items())


@torch.inference_mode()
def round_trip(model: Components, pictures: Tensor) -> Tensor:
    """Encode and decode pictures [B, 3, H, W]."""
    vae = model.vae
    mean, _ = vae.encode(pictures)  # pyright: ignore[reportCallIssue] -- Components types it as nn.Module
    return vae.decode(mean)  # pyright: ignore[reportCallIssue]


def train_judge(folder: Path, device: torch.device, there_and_back: Callable[[Tensor], Tensor], wish: Wish) -> Judge:
    """Train the judge, or take up the one in the folder."""
    torch.manual_seed(wish.seed)
    judge = Judge().to(device)
    rng = random.Random(wish.seed + 1)
    scenes = [_lone(rng) for _ in range(JUDGE_SCENES if device.type == "cuda" else JUDGE_SCENES // 8)]
    numbers = torch.tensor([scene.numbers() for scene in scenes], device=device)
    places = [ALL_SLOTS.index(slot) for slot in SLOTS]
    everything = frozenset(ALL_SLOTS)
    labels = torch.tensor([labels_of(scene, everything) for scene in scenes], device=device)[:, places]
    batch = 256 if device.type == "cuda" else 32
    plan = Plan(folder=folder, device=device, seed=wish.seed, warmup_steps=50)
    loop = Loop(JudgeStage(judge, numbers, labels, there_and_back, batch), plan)
    loop.resume()
    loop.run(wish.judge)
    loop.load_averaged()
    return judge


def _lone(rng: random.Random) -> Scene:
    while len((scene := sample_scene(rng, held_out=rng.random() < 0.15, emphasis=0.0)).things) != 1:
        pass
    return scene


def score(scenes: Sequence[Scene], pictures: Tensor, judge: Judge) -> dict[str, float]:
    """Return shares of right readings.

    Pixels are trusted for colours and places where the background is plain; the judge for shapes, everywhere, and
    for everything else under names of its own.
    """
    named = read(judge, pictures)
    plain = [i for i, scene in enumerate(scenes) if scene.ground.kind == "plain"]
    pixels = {i: read_pixels(pictures[i]) for i in plain}
    flat = [i for i, scene in enumerate(scenes) if scene.things[0].style == "flat"]

    def right(slot: str, indices: Sequence[int]) -> float:
        return _share([named[slot][i] == scenes[i].value(slot) for i in indices])

    everyone = range(len(scenes))
    return {
        "colour": _share([pixels[i].colour == scenes[i].things[0].colour for i in plain]),
        "background": _share([pixels[i].ground == scenes[i].ground.first for i in plain]),
        "shape": right("shape0", everyone),
        "position": _share([pixels[i].cell == scenes[i].cell for i in plain]),
        "shape, flat": right("shape0", flat),
        **{f"judge: {slot.rstrip('0')}": right(slot, everyone) for slot in SLOTS[1:]},
        **{
            f"shape: {shape}": right("shape0", [i for i in everyone if scenes[i].things[0].shape == shape])
            for shape in sorted({scene.things[0].shape for scene in scenes})
        },
    }


def _share(answers: Sequence[bool]) -> float:
    return round(sum(answers) / len(answers), 4) if answers else float("nan")


def relations(model: Components, folder: Path, rng: random.Random, count: int) -> dict[str, float]:
    """Render pairs of differently coloured objects on plain backgrounds and see whether both are there, rightly placed."""
    scenes = list[Scene]()
    while len(scenes) < count:
        scene = sample_scene(rng, emphasis=0.0)
        if scene.relation and scene.ground.kind == "plain" and scene.things[0].colour != scene.things[1].colour:
            scenes.append(scene)
    captions = [_two(scene) for scene in scenes]
    pictures = render(model, captions, Look(), first_seed=5000)
    save_sheet(folder / "two-objects.png", pictures[:SHOWN], captions[:SHOWN])
    both, placed = list[bool](), list[bool]()
    for scene, picture in zip(scenes, pictures, strict=True):
        (ax, ay, a), (bx, by, b) = (colour_centre(picture, thing.colour) for thing in scene.things)
        ahead = {"left": bx - ax, "right": ax - bx, "above": by - ay, "below": ay - by}[scene.relation or "left"]
        both.append(min(a, b) > 0.005)
        placed.append(both[-1] and ahead > 0.15)
    return {"both colours": _share(both), "rightly placed": _share(placed)}


def _two(scene: Scene) -> str:
    first, second = (f"{'an' if t.colour == 'orange' else 'a'} {t.colour} {t.shape}" for t in scene.things)
    joint = {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"}
    article = "an" if scene.ground.first == "orange" else "a"
    return f"{first} {joint[scene.relation or 'left']} {second} on {article} {scene.ground.first} background"


def draw_sheet(path: Path, seed: int, count: int = SHOWN) -> None:
    """Write a contact sheet of training scenes with captions."""
    rng = random.Random(seed)
    scenes = [sample_scene(rng) for _ in range(count)]
    captions = [str(write_caption(scene, rng)) for scene in scenes]
    save_sheet(path, draw(torch.tensor([scene.numbers() for scene in scenes]), 128, 128), captions)
