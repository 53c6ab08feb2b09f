"""Classifier-free guidance: turn a network and the texts of a batch into one `(x, sigma) -> x0`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from types import MappingProxyType

import torch
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.domain.plan import GuidanceOptions
from modules.sampling.batching import Rows, calls_for, padded, pick, stack, with_image_extras, without_picture
from modules.sampling.prediction import Prediction, predict
from modules.sampling.types import Network, Timeline
from modules.sampling.watching import Predict, Watch, call_of, evaluate


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidanceFacts:
    """What happened during a run, for infotext."""

    ngms: bool = False
    """The negative prompt was left out below the minimum sigma at least once."""
    skipped_early: bool = False
    """It was left out of the first calls."""
    padded: bool = False
    """One side was really lengthened to match the other."""


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """The calls of one evaluation, kept until another row of a timeline or another skip is due."""

    selection: tuple[tuple[tuple[int, ...], ...], tuple[int, ...], bool]
    calls: tuple[Rows, ...]
    sides: tuple[Rows, ...]
    """The same rows, not joined."""


class Guided:
    """Denoiser with the prompts built in. It counts its calls, since prompts may change along the way.

    Source: Ho and Salimans 2022, arXiv:2207.12598; Liu et al. 2022, arXiv:2206.01714, for several weighted prompts;
    Brooks et al. 2022, arXiv:2211.09800, equation 3, for a scale of the picture's own; Lin et al. 2023,
    arXiv:2305.08891, equations 15 and 16, for the rescaling, here of the estimate of x0.
    """

    def __init__(
        self,
        network: Network,
        prediction: Prediction,
        positives: Sequence[Sequence[Timeline]],
        negatives: Sequence[Timeline],
        options: GuidanceOptions,
        *,
        total_calls: int,
        empty_chunk: Tensor | None = None,
        image_extras: Mapping[str, Tensor] = MappingProxyType({}),
        prompts_only: Collection[str] = (),
        image_scale: float = 1.0,
        cfg_factor: float = 1.0,
        needs_uncond: bool = False,
        timesteps: bool = False,
        first_call: int = 0,
        watch: Watch | None = None,
        around: Callable[[Predict], Predict] | None = None,
    ) -> None:
        """Set up guidance for one run.

        Args:
            network: the raw network.
            prediction: what its output means, as the sampler reads it.
            positives: per picture the parts of its prompt, at least one each.
            negatives: per picture its negative prompt.
            options: scale, skipping and padding.
            total_calls: how many calls the run counts (`Sampler.calls`), for the early skip.
            empty_chunk: encoded empty prompt [1, 77, D], for `pad_cond_uncond`.
            image_extras: further network inputs per picture by argument name, each [B, ...].
            prompts_only: names of those inputs that stand for a part of the prompt: zeros for the negative prompts.
            image_scale: how strongly the result is led by those inputs. Other than 1 it takes a third evaluation,
                with neither prompt nor picture, in every call.
            cfg_factor: multiplies the scale (`Sampler.cfg_factor`).
            needs_uncond: evaluate the negative prompt even where guidance would not use it.
            timesteps: compare the timestep instead of sigma with `s_min_uncond`, as the timestep family always did.
            first_call: where the count starts, when this continues a run.
            watch: is asked around each evaluation.
            around: wraps what asks the network for estimates.

        Raises:
            InvalidRequest: a picture without a prompt, counts that differ, or several prompts for a picture with
                `image_scale`.
        """
        if len(positives) != len(negatives) or not all(positives):
            raise InvalidRequest("every picture needs a prompt and a negative prompt", field="prompt")
        self._image_scale = image_scale
        self._leads_by_picture = image_scale != 1 and bool(image_extras)
        if self._leads_by_picture and any(len(parts) > 1 for parts in positives):
            raise InvalidRequest(
                "AND joins no prompts for this editing checkpoint unless the image CFG scale is 1", field="prompt"
            )
        self._predict = predict(network, prediction)
        if around is not None:
            self._predict = around(self._predict)
        self._prediction = prediction
        self._positives = tuple(tuple(parts) for parts in positives)
        self._negatives = tuple(negatives)
        self._options = options
        self._scale = options.cfg_scale * cfg_factor
        self._total_calls = total_calls
        self._empty_chunk = empty_chunk
        self._image_extras = image_extras
        self._prompts_only = {name: value for name, value in image_extras.items() if name in prompts_only}
        self._needs_uncond = needs_uncond
        self._timesteps = timesteps
        # With a total weight of 1 the negative prompt cancels out, so it need not be evaluated.
        self._unused = not (needs_uncond or self._leads_by_picture) and all(
            self._scale * sum(part.weight for part in parts) == 1 for parts in self._positives
        )
        self._num_rows = sum(len(parts) for parts in self._positives)
        weights = {part.weight for parts in self._positives for part in parts}
        self._even_weight = weights.pop() if len(weights) == 1 and self._num_rows == len(self._negatives) else None
        self._first_rows = list(accumulate((len(parts) for parts in self._positives[:-1]), initial=0))
        self._watch = watch
        self._layout: _Layout | None = None
        self._uncond: Tensor | None = None
        self.calls = first_call
        """Number of the next call."""
        self.facts = GuidanceFacts()
        """What happened so far."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Estimate the clean latent x0 [B, C, h, w] for x [B, C, h, w] at sigma [B]."""
        skip = self._skips(sigma)
        layout = self._laid_out(x.device, skip or self._unused)
        if self._watch is None:
            return self._guide(x, self._estimates(layout, x, sigma), skip=skip)
        given = call_of(layout.sides, x, sigma, self.calls, self._total_calls)
        changed = self._watch.before(given)
        outputs = self._estimates(layout, x, sigma) if changed is given else evaluate(changed, self._predict)
        outputs = self._watch.estimated(changed, outputs)
        return self._watch.guided(changed, self._guide(x, outputs, skip=skip))

    def _estimates(self, layout: _Layout, x: Tensor, sigma: Tensor) -> Tensor:
        """Run the network; estimates x0 of all rows, those of the prompts first."""
        parts = [self._evaluate(rows, x, sigma) for rows in layout.calls]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _guide(self, x: Tensor, outputs: Tensor, *, skip: bool) -> Tensor:
        """Combine the estimates of all rows to one for each picture."""
        self.calls += 1
        positive = outputs[: self._num_rows]
        if skip:
            # Each picture's first prompt stands in for the side that was left out.
            negative = positive[self._first_rows]
        elif self._unused:
            negative = torch.zeros_like(x)
        elif self._leads_by_picture:
            return self._led_by_picture(positive, *outputs[self._num_rows :].chunk(2))
        else:
            negative = outputs[self._num_rows :]
        self._uncond = negative
        guided = self._combine(positive, negative, 1.0 if skip else self._scale)
        return guided if skip else self._rescaled(guided, positive, negative)

    def unconditional(self) -> Tensor:
        """Return the estimate without the prompt from the latest call, [B, C, h, w].

        Raises:
            RuntimeError: nothing was evaluated yet.
        """
        if self._uncond is None:
            raise RuntimeError("there is no unconditional estimate before the first call of the denoiser")
        return self._uncond

    def _skips(self, sigma: Tensor) -> bool:
        """Decide whether this call leaves out the negative prompt by choice of the person."""
        o = self._options
        if o.skip_early and self.calls / self._total_calls <= o.skip_early:
            self.facts = replace(self.facts, skipped_early=True)
            return True
        if o.s_min_uncond <= 0 or self._leads_by_picture or not (self.calls % 2 or o.s_min_uncond_all):
            return False
        # Only this option has to know the level on the host, so only it waits for the device.
        level = float(self._prediction.timestep(sigma[:1].cpu()) if self._timesteps else sigma[0])
        if level < o.s_min_uncond:
            self.facts = replace(self.facts, ngms=True)
        return level < o.s_min_uncond

    def _laid_out(self, device: torch.device, without_negative: bool) -> _Layout:
        """Return the network calls that are due now; assembled again only when a timeline or a skip changes."""
        selection = (
            tuple(tuple(part.row(self.calls) for part in parts) for parts in self._positives),
            tuple(timeline.row(self.calls) for timeline in self._negatives),
            without_negative,
        )
        if self._layout is None or self._layout.selection != selection:
            self._layout = _Layout(selection, *self._assemble(device, *selection))
        return self._layout

    def _assemble(
        self,
        device: torch.device,
        positive_rows: tuple[tuple[int, ...], ...],
        negative_rows: tuple[int, ...],
        without_negative: bool,
    ) -> tuple[tuple[Rows, ...], tuple[Rows, ...]]:
        picked = [
            pick(part.conditioning, row)
            for parts, rows in zip(self._positives, positive_rows, strict=True)
            for part, row in zip(parts, rows, strict=True)
        ]
        owners = [i for i, parts in enumerate(self._positives) for _ in parts]
        negatives = [pick(line.conditioning, row) for line, row in zip(self._negatives, negative_rows, strict=True)]
        positive, negative, changed = padded(stack(picked), stack(negatives), self._options, self._empty_chunk)
        if changed:
            self.facts = replace(self.facts, padded=True)
        extras, everyone = self._image_extras, torch.arange(len(negatives), device=device)
        owned = torch.tensor(owners, device=device)
        sides = [with_image_extras(Rows(conditioning=positive, owners=owned), extras)]
        if not without_negative:
            unasked = with_image_extras(Rows(conditioning=negative, owners=everyone), extras)
            sides.append(without_picture(unasked, self._prompts_only))
            if self._leads_by_picture:
                sides.append(without_picture(sides[-1], extras))
        calls = calls_for(sides, together=self._options.batch_cond_uncond, num_images=len(negatives))
        return tuple(calls), tuple(sides)

    def _evaluate(self, rows: Rows, x: Tensor, sigma: Tensor) -> Tensor:
        """Run one network call; returns an estimate per row."""
        # One picture is repeated without being copied.
        seen = x.expand(len(rows), -1, -1, -1) if x.shape[0] == 1 else x.index_select(0, rows.owners)
        return self._predict(seen, sigma.index_select(0, rows.owners), rows.conditioning)

    def _combine(self, positive: Tensor, negative: Tensor, scale: float) -> Tensor:
        """Push each picture's negative estimate along its weighted prompts."""
        if self._even_weight is not None:
            return torch.lerp(negative, positive, self._even_weight * scale)
        combined: list[Tensor] = []
        row = 0
        for parts, base in zip(self._positives, negative, strict=True):
            total = base
            for part in parts:
                total = total + (positive[row] - base) * (part.weight * scale)
                row += 1
            combined.append(total)
        return torch.stack(combined)

    def _led_by_picture(self, positive: Tensor, shown: Tensor, blank: Tensor) -> Tensor:
        """Combine estimates of picture and prompt, of the picture alone, and of neither; each [B, C, h, w]."""
        self._uncond = blank
        # What the picture's scale adds to ordinary guidance between the first two.
        guided = self._combine(positive, shown, self._scale) + (self._image_scale - 1) * (shown - blank)
        return self._rescaled(guided, positive, shown)

    def _rescaled(self, guided: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Give each picture's guided estimate back the contrast of the one with the prompt, as far as is asked for."""
        if not self._options.rescale:
            return guided
        plain = self._combine(positive, negative, 1.0)
        contrast = plain.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True).clamp(min=1e-8)
        return guided * torch.lerp(torch.ones_like(contrast), contrast, self._options.rescale)
