"""The denoiser of one pass: guidance over the network in use, a refiner that takes over, parts that are kept."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from torch import Tensor

from modules.domain.plan import BatchPlan, ImagePlan, Networks, Pass, Plan, RefinerPlan, SamplerOptions, TextOptions
from modules.hooks.points import AfterConditioning, WrapConditioning
from modules.nn.chunks import CAPACITY
from modules.pipeline.begin import Begin, LatentMask, image_scale, told_of
from modules.pipeline.plan import prepared
from modules.pipeline.session import Session
from modules.pipeline.watch import Blended, around_network, watching
from modules.sampling.book import BOOK, SamplerBook
from modules.sampling.catalogue import Sampler
from modules.sampling.guidance import GuidanceFacts, Guided
from modules.sampling.noise import ImageNoise
from modules.sampling.prediction import Prediction, SigmaTable, downcast_alphas, rescale_zero_terminal_snr
from modules.sampling.types import Conditioning, Timeline

Facts = dict[str, str | int | float | bool]
WORD_HASHES = "TI hashes"
Encode = Callable[[tuple[str, ...]], Conditioning]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Leg:
    """One walk of the sampler for a batch: the first pass or the hires pass."""

    number: int
    """0 or 1."""
    run: Pass
    options: SamplerOptions
    strength: float = 1.0
    """Denoising strength; only with `begin`."""
    begin: Begin | None = None
    """None starts from noise alone."""
    fix_steps: bool = False
    noise_multiplier: float = 1.0
    networks: Networks = field(default_factory=Networks)
    """Extra networks that models of this walk wear."""
    prompts: "Prompts | None" = None
    """Prompts that were encoded before; None encodes them with the model in use."""
    book: SamplerBook = BOOK
    noise: ImageNoise | None = None
    """Of the pictures, where it was opened before."""
    extras: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))
    """What the network is told of the pictures, each [B, ...], where no latent comes with it."""
    cfg_scale: float | None = None
    """Instead of the plan's."""
    needs_negative: bool = False
    """Ask for the negative prompt also where guidance would not use it."""

    @property
    def sampler(self) -> Sampler:
        """The integrator."""
        return self.book.sampler(self.run.sampler)

    def calls_before(self, plan: Plan) -> int | None:
        """Return how many calls the pass before counted, None for the first one."""
        return self.book.sampler(plan.main.sampler).calls(plan.main.steps) if self.number else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """The encoded prompts of a batch."""

    positives: list[tuple[Timeline, ...]]
    negatives: list[Timeline]
    empty_chunk: Tensor | None = None
    words: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Embeddings that they use, name -> hash."""


def encoded_prompts(session: Session, plan: Plan, batch: BatchPlan, leg: Leg) -> Prompts:
    """Encode the prompts of a batch with the model in use; equal timelines are encoded once."""
    model, before = session.model, leg.calls_before(plan)
    words = dict[str, str]()
    calls, told_size = leg.sampler.calls(leg.run.steps), model.components.family.told_size
    encode = session.ctx.hooks.run(WrapConditioning(plan=plan, batch=batch, encode=model.condition)).encode

    def line(entries: tuple[tuple[int, str], ...], weight: float = 1.0, *, negative: bool = False) -> Timeline:
        ends, texts = zip(*entries, strict=True)
        _tell_cut(session, plan, texts)
        options = replace(plan.text, size=leg.run.size, negative=negative) if told_size else plan.text
        words.update(_words(session, texts, options))
        return Timeline(ends=ends, conditioning=encode(texts, options), weight=weight)

    images = [_second(image) if leg.number else image for image in batch.images]
    found = [
        prepared(image, before or calls, plan.text, hires_steps=calls if before is not None else None)
        for image in images
    ]
    with session.clock("encode"):
        prompts = Prompts(
            positives=[tuple(line(part.timeline, part.weight) for part in prompt.parts) for prompt in found],
            negatives=[line(prompt.negative_timeline, negative=True) for prompt in found],
            empty_chunk=model.empty_chunk(plan.text) if plan.guidance.pad_cond_uncond else None,
            words=words,
        )
    return _shown(session, plan, batch, prompts)


def _shown(session: Session, plan: Plan, batch: BatchPlan, prompts: Prompts) -> Prompts:
    """Let extensions look at the encoded prompts."""
    hooks = session.ctx.hooks
    if not hooks.has(AfterConditioning):
        return prompts
    payload = AfterConditioning(
        plan=plan, batch=batch, positives=tuple(prompts.positives), negatives=tuple(prompts.negatives)
    )
    changed = hooks.run(payload)
    return replace(prompts, positives=list(changed.positives), negatives=list(changed.negatives))


def _words(session: Session, texts: tuple[str, ...], options: TextOptions) -> dict[str, str]:
    """Return the embeddings that texts use and that are to be told, with their hashes."""
    rules, worn = session.ctx.settings.extra_networks, session.model.worn
    if not rules.textual_inversion_add_hashes_to_infotext:
        return {}
    found = session.model.words_in(texts, options)
    return {
        name: worn.digest_of(name) for name in found if rules.lora_bundled_ti_to_infotext or not worn.is_bundled(name)
    }


def _tell_cut(session: Session, plan: Plan, texts: tuple[str, ...]) -> None:
    """Tell which prompts the old way of emphasis cuts off."""
    if not plan.text.old_emphasis:
        return
    components = session.model.components
    for text in texts:
        used = components.family.count_tokens(components.tokenizer, text, plan.text)
        if used > CAPACITY:
            session.ctx.note(f"The prompt has {used} tokens; the last {used - CAPACITY} are cut off")


def hashes_of_words(words: Mapping[str, str]) -> Facts:
    """Write embeddings and their hashes as the infotext has them."""
    told = {name.replace(":", "").replace(",", ""): digest for name, digest in words.items() if digest}
    return {WORD_HASHES: ", ".join(f"{name}: {digest}" for name, digest in told.items())} if told else {}


class Guide:
    """The guided denoiser over the model in use. Use it as a context: the network is on the device inside."""

    def __init__(self, session: Session, plan: Plan, batch: BatchPlan, leg: Leg, *, total_calls: int) -> None:
        """Prepare; `total_calls` is what the run counts, for switches by steps."""
        self._session, self._plan, self._batch, self._leg = session, plan, batch, leg
        self._total_calls = total_calls
        self._network = ExitStack()
        self._refiner = plan.refiner if _refines(plan, leg) else None
        self._told: Facts = {}
        self._words: dict[str, str] = {}
        self._guided = self._open(leg.prompts, first_call=0)

    def __enter__(self) -> "Guide":
        return self

    def __exit__(self, *_error: object) -> None:
        self._network.close()

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean latent x0 [B, C, h, w] for x [B, C, h, w] at sigma [B]."""
        if self._refiner is not None and self._due(self._refiner, sigma):
            self._switch(self._refiner)
        return self._guided(x, sigma)

    @property
    def table(self) -> SigmaTable:
        """The noise levels that the sampler's schedule is made of."""
        return self._prediction.table

    def unconditional(self) -> Tensor:
        """Return the estimate without the prompt from the latest call, [B, C, h, w]."""
        return self._guided.unconditional()

    def facts(self) -> Facts:
        """Return the infotext keys that only became known while sampling."""
        return {**self._told, **_told(self._guided.facts, self._plan), **hashes_of_words(self._words)}

    def _open(self, prompts: Prompts | None, *, first_call: int) -> Guided:
        session, plan, leg = self._session, self._plan, self._leg
        prompts = prompts or encoded_prompts(session, plan, self._batch, leg)
        self._words.update(prompts.words)
        sampler, begin, eye = leg.sampler, leg.begin, session.model.components.eye
        self._prediction = sampler.adapt(_prediction(session.model.components.prediction, plan))
        lent = session.network(tiling=plan.tiling, merge_ratio=leg.run.merge_ratio)
        network = self._network.enter_context(lent)
        hires, hooks = plan.hires if leg.number else None, session.ctx.hooks
        scale = leg.cfg_scale if leg.cfg_scale is not None else hires.cfg_scale if hires else plan.guidance.cfg_scale
        return Guided(
            network,
            self._prediction,
            prompts.positives,
            prompts.negatives,
            replace(plan.guidance, cfg_scale=scale),
            total_calls=self._total_calls,
            empty_chunk=prompts.empty_chunk,
            image_extras=told_of(session.model, plan, self._batch, begin) if begin else leg.extras,
            prompts_only=eye.prompts_only if eye else (),
            image_scale=image_scale(session.model, plan),
            cfg_factor=sampler.cfg_factor,
            needs_uncond=sampler.needs_uncond or leg.needs_negative,
            timesteps=sampler.timesteps,
            first_call=first_call,
            watch=watching(hooks, plan, self._batch),
            around=around_network(hooks, plan, self._batch),
        )

    def _due(self, refiner: RefinerPlan, sigma: Tensor) -> bool:
        """Tell whether the refiner takes over at this level.

        Source: the share of the run is that of the trained timesteps already passed, 999 being the first.
        """
        if refiner.by_steps:
            self._told["Refiner switch by sampling steps"] = True
        if refiner.switch_at is None:
            return True
        if refiner.by_steps:
            return self._guided.calls / self._total_calls >= refiner.switch_at
        level, table = sigma.max().cpu(), self._prediction.table
        if self._leg.sampler.timesteps:
            timestep = int(self._prediction.timestep(level[None]))
        else:
            timestep = int((table.sigmas.cpu() - level).abs().argmin())
        return (len(table) - 1 - timestep) / len(table) >= refiner.switch_at

    def _switch(self, refiner: RefinerPlan) -> None:
        """Go on with the refiner's network and its reading of the prompts."""
        calls = self._guided.calls
        self._told.update(self.facts())
        self._told["Refiner"] = refiner.model.title
        if refiner.switch_at is not None:
            self._told["Refiner switch at"] = refiner.switch_at
        if self._plan.hires and refiner.passes != "second pass":
            self._told["Hires refiner"] = refiner.passes
        self._refiner = None
        del self._guided
        self._network.close()
        self._session.use(refiner.model)
        self._session.dress(self._leg.networks)
        self._guided = self._open(None, first_call=calls)


class Kept:
    """A denoiser that leaves a part of the latent as it was.

    The timestep family sees the clean part in its input; the others get it put over the estimate. A soft mask is
    always put over the estimate: in the input it would leave the noise of what is kept, which nothing covers later.
    """

    def __init__(self, guide: Guide, mask: LatentMask, *, before: bool, blended: Blended | None = None) -> None:
        self._guide, self._mask, self._before = guide, mask, before and mask.soft is None
        self._blended = blended
        self._timesteps = before
        self._shift = torch.zeros(())
        self._sigma = torch.zeros(())

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean latent x0 [B, C, h, w] for x [B, C, h, w] at sigma [B]."""
        self._sigma = sigma
        if not self._before:
            x0 = self._guide(x, sigma)
            return self._shown(x0, self._mask.over_estimate(x0, sigma), sigma)
        # The kept latent enters without noise, on the variance-preserving scale; the estimate of the noise is what
        # the sampler goes on with, so x0 is moved along with the input.
        scale = (1 + sigma.square()).sqrt().view(-1, 1, 1, 1)
        seen = self._shown(x, self._mask.over(x, scale), sigma)
        self._shift = x - seen
        return self._guide(seen, sigma) + self._shift

    def over_result(self, x: Tensor) -> Tensor:
        """Put the kept part over the last x [B, C, h, w]."""
        return self._shown(x, self._mask.over_result(x), None)

    def _shown(self, current: Tensor, blended: Tensor, sigma: Tensor | None) -> Tensor:
        """Let extensions look at a mixture."""
        return blended if self._blended is None else self._blended(current, blended, sigma)

    def unconditional(self) -> Tensor:
        """Return the estimate without the prompt from the latest call, [B, C, h, w]."""
        found = self._guide.unconditional()
        # The others step along this estimate too, so what is kept has to be in it as well.
        return found + self._shift if self._timesteps else self._mask.over_estimate(found, self._sigma)


def _second(image: ImagePlan) -> ImagePlan:
    return replace(image, prompt=image.hires_prompt, negative_prompt=image.hires_negative_prompt)


def _refines(plan: Plan, leg: Leg) -> bool:
    """Tell whether a pass may hand over to the refiner."""
    if plan.refiner is None or plan.hires is None:
        return plan.refiner is not None
    return plan.refiner.passes in ("both passes", "second pass" if leg.number else "first pass")


def _prediction(trained: Prediction, plan: Plan) -> Prediction:
    """Change the trained noise levels as the plan's compatibility settings ask."""
    options = plan.schedule
    if not (options.zero_terminal_snr or options.downcast_alphas or options.quantize_timesteps):
        return trained
    alphas = trained.table.alphas_cumprod
    if options.downcast_alphas:
        alphas = downcast_alphas(alphas)
    if options.zero_terminal_snr:
        alphas = rescale_zero_terminal_snr(alphas)
    table = SigmaTable.from_alphas(alphas, quantize=options.quantize_timesteps)
    return replace(trained, table=table)


def _told(facts: GuidanceFacts, plan: Plan) -> Facts:
    """Write what guidance did as infotext keys."""
    found = Facts()
    if plan.guidance.rescale:
        found["CFG Rescale φ"] = plan.guidance.rescale
    if facts.skipped_early:
        found["Skip Early CFG"] = plan.guidance.skip_early
    if facts.ngms:
        found["NGMS"] = plan.guidance.s_min_uncond
        if plan.guidance.s_min_uncond_all:
            found["NGMS all steps"] = True
    if facts.padded:
        found["Pad conds v0" if plan.guidance.pad_cond_uncond_v0 else "Pad conds"] = True
    return found
