"""Loaded models, lent out one job at a time and kept for the next one as long as there is room."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from modules.domain.plan import ResolvedModel
from modules.families.family import Components
from modules.nn.attention.backend import Backend
from modules.nn.ops import Ops
from modules.residency.device import DevicePolicy, Offload
from modules.residency.keeping import WORKING_BYTES, Keeping, fits
from modules.residency.kept import Kept, VaeKey, WeightsKey, keys_of
from modules.residency.loader import Identify, Loader, Recipe, estimated_bytes
from modules.residency.memory import Machine, Memory
from modules.residency.model import Model
from modules.residency.placing import Placement, relocate
from modules.residency.relief import climb, free_device_cache, is_out_of_memory
from modules.residency.resident import Resident
from modules.residency.sizes import is_on, parts_of, weight_bytes
from modules.residency.streaming import LARGE_BYTES

logger = logging.getLogger(__name__)

MAIN_MEMORY = torch.device("cpu")
"""Names it; where a model computes is the policy's."""
Tell = Callable[[str], None]


class Pool:
    """Keeps models loaded and lends them.

    One job at a time works with models; it may borrow several, one inside of the other. Anybody may ask meanwhile what
    is in memory, or have what is not in use leave it.

    Args:
        policy: where and in which number formats models run.
        identify: finds the family of a file.
        ops: layer classes that networks are built from.
        models: folder of models, where some families look for what a checkpoint lacks.
        keeping: how many models stay; asked anew each time.
        memory: what the machine has to offer; None looks at this one.
        allow_unsafe: let pickled files run the code they ask for.
    """

    def __init__(
        self,
        policy: DevicePolicy,
        identify: Identify,
        ops: Ops,
        models: Path | None = None,
        *,
        keeping: Callable[[], Keeping] = Keeping,
        memory: Memory | None = None,
        allow_unsafe: bool = False,
    ) -> None:
        self._policy, self._loader = policy, Loader(policy, identify, ops, models, allow_unsafe=allow_unsafe)
        self._keeping, self._memory = keeping, memory or Machine(policy.device)
        self._turn = threading.RLock()
        """Held by the job that works with models."""
        self._books = threading.RLock()
        """Held while the list of models changes, or one moves that nobody uses."""
        self._kept: list[Kept] = []
        """The last used first."""
        self._last: tuple[ResolvedModel, Backend] | None = None
        """What was asked for last, whether it is still there or not."""
        self._vae_formats: dict[VaeKey, torch.dtype] = {}
        """Of VAEs that gave no numbers in the usual one."""

    @property
    def policy(self) -> DevicePolicy:
        """Where models run."""
        return self._policy

    @property
    def loaded(self) -> ResolvedModel | None:
        """The files of the model that was used last, if it is in memory."""
        with self._books:
            return self._kept[0].recipe.wanted if self._kept else None

    def encoders(self) -> Mapping[str, int] | None:
        """Return the text encoders of the model that was used last and their widths; None when there is no model."""
        with self._books:
            models = self._kept[0].models if self._kept else {}
            components = next((model.components for model in models.values()), None)
            return None if components is None else components.family.encoders(components)

    def present(self) -> tuple[Resident, ...]:
        """Return the models in memory, the last used first. Does not wait for jobs."""
        with self._books:
            return tuple(kept.told(self._policy.device) for kept in self._kept)

    @contextmanager
    def lease(self, wanted: ResolvedModel, attention: Backend, note: Tell = logger.info) -> Iterator[Model]:
        """Lend the model made of the wanted files, loading what of it is not in memory.

        A model that is lent never leaves memory. The others stay usable when loading one fails.

        Args:
            wanted: the files.
            attention: implementation that the networks are built with.
            note: told when the model runs slower because memory is small.

        Raises:
            ModelError: a file cannot be used; names it and says why.
            OutOfMemory: the model does not fit.
        """
        with self._turn:
            key, vae = keys_of(wanted, attention)
            kept = self._take(key) or self._load(wanted, attention, key, vae)
            try:
                model = self._with_vae(kept, wanted, vae)
                self._place(kept, model, note)
                self.settle()
                self._last = wanted, attention
                yield model
            finally:
                self._give_back(kept, vae)

    def unload(self) -> None:
        """Have the models leave the device: for main memory where that is another one and has room, or altogether.

        A model in use leaves when its job ends.
        """
        with self._books:
            for kept in tuple(self._kept):
                kept.leaving = kept.leases > 0
                if not kept.leaving:
                    self._off_device(kept)

    def reload(self) -> bool:
        """Bring the model that was used last back to the device, unless a job is at work, which does so itself.

        Returns:
            Whether there was one to bring.

        Raises:
            ModelError: it left memory, and its files cannot be used any more.
        """
        if not self._turn.acquire(blocking=False):
            return True
        try:
            if self._last is not None:
                with self.lease(*self._last):
                    pass
            return self._last is not None
        finally:
            self._turn.release()

    def make_room(self) -> bool:
        """Have every model that nobody uses leave the device.

        Returns:
            Whether there was any.
        """
        with self._books:
            idle = self._idle(on_device=True)
            for kept in idle:
                logger.info("%s leaves the device to make room", kept.name)
                self._off_device(kept)
        return bool(idle)

    def settle(self) -> None:
        """Let go of what the settings do not keep, or what takes more than its share of memory."""
        with self._books:
            keeping = self._keeping()
            if not keeping.automatic or self._surplus_on_device(keeping):
                self._drop_vaes(keeping.vaes)
            for kept in self._surplus_on_device(keeping):
                self._off_device(kept)
            self._trim_ram(keeping)

    # What follows is called by the job that has the turn, or with the books in hand.

    def _take(self, key: WeightsKey) -> Kept | None:
        with self._books:
            kept = next((one for one in self._kept if one.key == key), None)
            if kept is not None:
                self._kept.remove(kept)
                self._enter(kept)
            return kept

    def _enter(self, kept: Kept) -> None:
        kept.leases += 1
        self._kept.insert(0, kept)

    def _give_back(self, kept: Kept, vae: VaeKey) -> None:
        with self._books:
            dtype = kept.vae_dtype(vae)
            if dtype not in (None, kept.recipe.policy.vae_dtype):
                self._vae_formats[vae] = dtype
            kept.leases -= 1
            if kept.leaving and not kept.leases:
                kept.leaving = False
                self._off_device(kept)

    def _load(self, wanted: ResolvedModel, attention: Backend, key: WeightsKey, vae: VaeKey) -> Kept:
        """Load beside the models in memory, or in their place when there is no room."""
        recipe = self._loader.recognise(wanted, attention)
        dtype = self._vae_formats.get(vae, recipe.policy.vae_dtype)
        with self._books:  # with other attention, or of a file that was replaced
            self._forget([kept for kept in self._idle() if kept.key.checkpoint == wanted.checkpoint])
        home = self._make_way(recipe)

        def alone() -> Components:
            with self._books:
                self._forget(self._idle())
            return self._loader.load(recipe, MAIN_MEMORY, dtype)

        rungs = [
            ("beside the others", lambda: self._loader.load(recipe, home, dtype)),
            ("in main memory, after unloading all others", alone),
        ]
        components = climb(f"loading {wanted.checkpoint.name}", rungs, logger.info, self.make_room)
        if self._has_card and not is_on(components.unet, self._policy.device):
            to_ram = self._memory.to_ram()
            for part in parts_of(components):
                relocate(part, to_ram)
        placement = Placement(offload=recipe.policy.offload, memory=self._memory, make_room=self.make_room)
        model = Model(components=components, policy=recipe.policy, placement=placement)
        kept = Kept(key=key, recipe=recipe, placement=placement, models={vae: model})
        with self._books:
            self._enter(kept)
        return kept

    def _with_vae(self, kept: Kept, wanted: ResolvedModel, vae: VaeKey) -> Model:
        """Return the model with the wanted VAE, of which only that is loaded when all else is there."""
        recipe = replace(kept.recipe, wanted=wanted)
        model = kept.models.get(vae)
        if model is None:
            any_model = next(iter(kept.models.values()))
            home = next(any_model.components.vae.parameters()).device
            dtype = self._vae_formats.get(vae, recipe.policy.vae_dtype)
            rungs = [("beside the others", lambda: self._loader.load_vae(recipe, home, dtype))]
            network = climb("loading a VAE", rungs, logger.info, self.make_room)
            model = replace(any_model, components=replace(any_model.components, vae=network))
        kept.use(vae, model, recipe)
        return model

    def _place(self, kept: Kept, model: Model, note: Tell) -> None:
        """Bring a model to where it can run: to the device, whole if it fits, otherwise part by part."""
        device, placement = self._policy.device, kept.placement
        placement.offload, placement.resident_bytes = model.policy.offload, 0
        away = [part for part in parts_of(model.components) if not is_on(part, device)]
        if not away or placement.offload is not Offload.NONE:
            return

        def whole() -> None:
            to_device = self._memory.to_device()
            for part in away:
                relocate(part, to_device)

        def in_parts() -> None:
            to_ram, free = self._memory.to_ram(), self._memory.free_device()
            for part in parts_of(model.components):
                if is_on(part, device):
                    free += weight_bytes(part)
                    relocate(part, to_ram)
            largest = max(weight_bytes(part) for part in parts_of(model.components))
            placement.offload = Offload.COMPONENTS if fits(largest, free) else Offload.BLOCKS
            placement.resident_bytes = max(0, free - WORKING_BYTES - 2 * LARGE_BYTES)
            note(_slower(kept.name, placement.offload))

        rungs = [("as a whole", whole)] if self._make_way_on_device(weight_bytes(*away)) else []
        rungs.append(("part by part", in_parts))
        climb(f"bringing {kept.name} to the device", rungs, logger.info, self.make_room)

    def _make_way(self, recipe: Recipe) -> torch.device:
        """Let idle models leave until there is room for another one, and return where it is to be loaded."""
        needed, keeping = estimated_bytes(recipe), self._keeping()
        whole = self._has_card and recipe.policy.offload is Offload.NONE
        if whole and self._make_way_on_device(needed):
            return self._policy.device
        with self._books:
            self._trim_ram(keeping, coming=needed)
        return MAIN_MEMORY

    def _make_way_on_device(self, needed: int) -> bool:
        with self._books:
            for kept in reversed(self._idle(on_device=True)):
                if fits(needed, self._memory.free_device()):
                    return True
                self._off_device(kept)
            return fits(needed, self._memory.free_device())

    def _surplus_on_device(self, keeping: Keeping) -> list[Kept]:
        """Return the idle models for which there is no place beside those that were used later."""
        if not self._has_card:
            return []
        there = [kept for kept in self._kept if kept.is_on(self._policy.device)]
        return _beyond(there, keeping, keeping.on_device, self._memory.free_device, working_bytes=WORKING_BYTES)

    def _trim_ram(self, keeping: Keeping, *, coming: int = 0) -> None:
        if self._surplus_in_ram(keeping, coming):
            self._drop_vaes(keeping.vaes)
            self._forget(self._surplus_in_ram(keeping, coming))

    def _surplus_in_ram(self, keeping: Keeping, coming: int) -> list[Kept]:
        """The same for main memory, which may have to take another model of some bytes."""
        there = [kept for kept in self._kept if not (self._has_card and kept.is_on(self._policy.device))]
        at_least = keeping.models - (len(self._kept) - len(there))
        return _beyond(there, keeping, at_least, self._memory.free_ram, coming=coming)

    def _off_device(self, kept: Kept) -> None:
        """Move an idle model to main memory, or forget it where that is no other place or has no room."""
        if not kept.is_on(self._policy.device):
            return
        keeping, beside = self._keeping(), self._memory.free_ram() - kept.num_bytes
        at_least = 0 if keeping.automatic else 1  # whose numbers count, wherever the models are
        stays = self._has_card and keeping.num_staying([kept.num_bytes], beside, at_least=at_least) > 0
        try:
            to_ram = self._memory.to_ram()
            if stays:
                kept.undress()
            for part in kept.parts if stays else ():
                relocate(part, to_ram)
            free_device_cache()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            stays = False
        if not stays:
            self._forget([kept])

    def _drop_vaes(self, most: int) -> None:
        """Keep so many VAEs beside those that models were used with last."""
        for kept in self._kept:
            most -= kept.drop_vaes(1 + most)

    def _forget(self, leaving: Iterable[Kept]) -> None:
        gone = set(leaving)
        self._kept = [kept for kept in self._kept if kept not in gone]
        for kept in gone:
            logger.info("%s leaves memory", kept.name)
        if gone:
            free_device_cache()

    def _idle(self, *, on_device: bool = False) -> list[Kept]:
        idle = [kept for kept in self._kept if not kept.leases]
        return [kept for kept in idle if kept.is_on(self._policy.device)] if on_device else idle

    @property
    def _has_card(self) -> bool:
        """Whether the device has memory of its own."""
        return self._policy.device.type != "cpu"


def _beyond(
    there: Sequence[Kept],
    keeping: Keeping,
    at_least: int,
    free: Callable[[], int],
    *,
    coming: int = 0,
    working_bytes: int = 0,
) -> list[Kept]:
    """Return the idle ones of some models, the last used first, that do not stay in one kind of memory.

    Args:
        there: what it holds.
        keeping: what the settings say.
        at_least: so many stay in any case, one that is coming included.
        free: tells how many bytes are free.
        coming: bytes of a model that is going to be there.
        working_bytes: are not for models.
    """
    sizes = [*([coming] if coming else []), *(kept.num_bytes for kept in there)]
    if len(sizes) <= at_least:
        return []
    most = keeping.num_staying(sizes, free() - coming, at_least=at_least, working_bytes=working_bytes)
    staying = most - bool(coming)
    return [kept for kept in there[max(0, staying) :] if not kept.leases]


def _slower(name: str, offload: Offload) -> str:
    how = "its parts take turns there" if offload is Offload.COMPONENTS else "its network gets there block by block"
    return f"{name} is larger than the free memory of the graphics card, so it runs slower: {how}"
