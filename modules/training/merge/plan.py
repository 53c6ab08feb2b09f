"""What the result of a merge consists of, decided from headers before anything is computed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import monotonic

import regex
from torch import Tensor

from modules.domain.errors import InvalidRequest
from modules.domain.merge import ADD_DIFFERENCE, AS_STORED, NO_INTERPOLATION, MergeRequest
from modules.training.merge.arithmetic import (
    add_difference,
    cast,
    common_dtype,
    result_dtype,
    weighted_sum,
    working_dtype,
)
from modules.training.merge.source import Model, Stored, has_factors
from modules.training.merge.stream import Entry, flat_pieces

NOT_MERGED = frozenset({"cond_stage_model.transformer.text_model.embeddings.position_ids"})
VARIANTS: Mapping[int, str] = {9: ".inpainting", 8: ".instruct-pix2pix"}
"""Channels that the UNet of a variant takes -> what A1111 adds to the name of the result."""
LATENT_CHANNELS = 4
PATTERN_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """The tensors of the result."""

    entries: Sequence[Entry]
    variant: str = ""
    """What the name of the result ends in when A was a variant and B was not."""


def plan_merge(request: MergeRequest, models: Sequence[Model], vae: Model | None = None) -> MergePlan:
    """Decide the tensors of the result.

    Args:
        request: checked before.
        models: those that the method uses, A first.
        vae: replaces the one of A.

    Raises:
        InvalidRequest: the models do not fit together, or nothing would be left.
    """
    _check_factors(request, models)
    entries, variant = _of_models(request, models)
    if vae is not None:
        entries |= _of_vae(request, models[0], vae)
    for name in matching(request.discard_weights, list(entries)):
        del entries[name]
    if not entries:
        raise InvalidRequest("it matches every weight; nothing would be left", field="discard_weights")
    return MergePlan(entries=list(entries.values()), variant=variant)


def _of_models(request: MergeRequest, models: Sequence[Model]) -> tuple[dict[str, Entry], str]:
    first, *others = models
    entries, mixed, variant = dict[str, Entry](), 0, ""
    for name, a in first.items():
        rest = [model[name] for model in others if name in model]
        if not others or len(rest) < len(others) or not _is_weight(name, a):
            entries[name] = copied(name, a, request.precision)
            continue
        variant = variant or _variant(name, a, rest)
        entries[name] = _mixed(name, a, rest, request)
        mixed += 1
    if others and not mixed:
        raise InvalidRequest(
            "A and B have no weights of equal names; they are models of different kinds", field="secondary_model_name"
        )
    return entries, variant


def _of_vae(request: MergeRequest, first: Model, vae: Model) -> dict[str, Entry]:
    for name, one in vae.items():
        if name in first and first[name].shape != one.shape:
            raise InvalidRequest(
                f"this VAE does not suit A: {name[:120]} is {list(one.shape)} instead of {list(first[name].shape)}",
                field="bake_in_vae",
            )
    return {name: copied(name, one, request.precision) for name, one in vae.items()}


def _is_weight(name: str, stored: Stored) -> bool:
    """Tables of the noise schedule and marks are those of A."""
    is_table = "." not in name or name.startswith("denoiser.")
    return stored.dtype.is_floating_point and not is_table and name not in NOT_MERGED


def _variant(name: str, a: Stored, others: Sequence[Stored]) -> str:
    """Return what the result is when A takes more channels than the others, empty when all are alike.

    Raises:
        InvalidRequest: the shapes do not fit.
    """
    found = ""
    for letter, field, other in zip("BC", ("secondary_model_name", "tertiary_model_name"), others, strict=False):
        if a.shape == other.shape:
            continue
        wide, narrow = a.shape[1:2], other.shape[1:2]
        alike = len(a.shape) == len(other.shape) == 4 and a.shape[:1] + a.shape[2:] == other.shape[:1] + other.shape[2:]
        if alike and narrow == (LATENT_CHANNELS,) and wide[0] in VARIANTS:
            found = VARIANTS[wide[0]]
        elif alike and wide == (LATENT_CHANNELS,) and narrow[0] in VARIANTS:
            raise InvalidRequest(
                f"{letter} is an {VARIANTS[narrow[0]][1:]} model and A is not; such a model has to be A", field=field
            )
        else:
            raise InvalidRequest(
                f"A and {letter} are models of different kinds: {name[:120]} is {list(a.shape)} in A and"
                f" {list(other.shape)} in {letter}",
                field=field,
            )
    return found


def copied(name: str, stored: Stored, precision: str) -> Entry:
    """Describe a tensor whose values stay."""
    dtype = result_dtype(name, len(stored.shape), stored.dtype, precision)

    def pieces() -> Iterator[Tensor]:
        return (cast(piece, dtype) for piece in flat_pieces(stored.read()))

    return Entry(name=name, shape=stored.shape, dtype=dtype, pieces=pieces)


def _mixed(name: str, a: Stored, others: Sequence[Stored], request: MergeRequest) -> Entry:
    dtypes = [a.dtype, *(other.dtype for other in others)]
    dtype = result_dtype(name, len(a.shape), common_dtype(dtypes), request.precision)
    work, formula = working_dtype(dtypes), formula_of(request)

    def pieces() -> Iterator[Tensor]:
        if any(other.shape != a.shape for other in others):
            yield cast(_first_channels(formula, *(one.read().to(work) for one in (a, *others))), dtype)
            return
        for parts in zip(*(flat_pieces(one.read()) for one in (a, *others)), strict=True):
            yield cast(formula(*(part.to(work) for part in parts)), dtype)

    return Entry(name=name, shape=a.shape, dtype=dtype, pieces=pieces)


def formula_of(request: MergeRequest) -> Callable[..., Tensor]:
    """Return the formula of a request, on tensors of A, B and perhaps C."""
    formula = add_difference if request.interp_method == ADD_DIFFERENCE else weighted_sum
    return partial(formula, multiplier=request.multiplier)


def _first_channels(formula: Callable[..., Tensor], a: Tensor, *others: Tensor) -> Tensor:
    """Merge the channels of the latent; those of mask and picture stay as they are in A."""
    narrow = slice(0, LATENT_CHANNELS)
    result = a.clone()
    result[:, narrow] = formula(a[:, narrow], *(other[:, narrow] for other in others))
    return result


def matching(pattern: str, names: Sequence[str]) -> list[str]:
    """Return the names in which a regular expression is found.

    Raises:
        InvalidRequest: it does not parse, or it takes too long.
    """
    if not pattern:
        return []
    until = monotonic() + PATTERN_TIMEOUT_S
    try:
        search = regex.compile(pattern).search
        return [name for name in names if search(name, timeout=max(0.001, until - monotonic()), concurrent=True)]
    except TimeoutError:
        raise InvalidRequest("this expression takes too long; write a simpler one", field="discard_weights") from None
    except (regex.error, RecursionError) as error:
        raise InvalidRequest(f"not a regular expression: {error}", field="discard_weights") from None


def _check_factors(request: MergeRequest, models: Sequence[Model]) -> None:
    if request.interp_method == NO_INTERPOLATION and request.precision == AS_STORED:
        return  # copied as they are, factors included
    fields = ("primary_model_name", "secondary_model_name", "tertiary_model_name")
    for field, model in zip(fields, models, strict=False):
        if has_factors(model):
            raise InvalidRequest("its weights are quantised with factors beside them; merge the original", field=field)
