"""`modules.sd_unet`: networks that extensions offer in the place of a checkpoint's own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from modules.compat.callbacks import guarded
from modules.compat.host import host

if TYPE_CHECKING:
    from torch import Tensor

    from modules.hooks.points import PlanMade
    from modules.pipeline.unets import OfferedUnet
    from modules.sampling.types import Conditioning, Network


class SdUnetOption:
    """One network that may be chosen."""

    model_name: str | None = None
    """Name of the checkpoint that it is made for."""
    label: str | None = None

    def create_unet(self) -> Any:
        """Make the network.

        Raises:
            NotImplementedError: always; options define it.
        """
        raise NotImplementedError


class SdUnet:
    """A network that denoises."""

    def forward(self, x: Any, timesteps: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Answer for a batch: [B, C, h, w].

        Raises:
            NotImplementedError: always; networks define it.
        """
        raise NotImplementedError

    def activate(self) -> None:
        """Get ready."""

    def deactivate(self) -> None:
        """Let go of everything."""


def list_unets() -> list[Any]:
    """Ask extensions what they offer."""
    found: list[Any] = []
    host().callbacks.call("list_unets", found)
    return found


def get_unet_option(option: str | None = None) -> Any:
    """Return the option of a label, Automatic or None; that of the settings when left out."""
    wanted = option or host().options.sd_unet
    if wanted == "None":
        return None
    if wanted == "Automatic":
        from modules.compat.sd_model import sd_model_now

        name = sd_model_now().sd_checkpoint_info.model_name
        return next((one for one in list_unets() if one.model_name == name), None)
    return next((one for one in list_unets() if one.label == wanted), None)


def added_unets() -> "Sequence[OfferedUnet]":
    """Return those of extensions in the form of this program."""
    if not host().callbacks.has("list_unets"):
        return ()
    from modules.pipeline.unets import OfferedUnet

    return [
        OfferedUnet(label=str(one.label), checkpoint=one.model_name or "", open=partial(_opened, one))
        for one in list_unets()
    ]


def current_unet() -> Any:
    """Return the network of an extension that is active."""
    return host().unet


def current_option() -> Any:
    """Return the option that the active network was made by."""
    return getattr(host().unet, "option", None)


def apply_unet(option: str | None = None) -> None:
    """Make the network of an option the active one."""
    _use(get_unet_option(option))


def plan_made(payload: "PlanMade") -> None:
    """Let the active network go where a run does not use it."""
    from modules.pipeline.unets import unet_for

    if host().unet is None:
        return
    chosen = unet_for(added_unets(), host().options.sd_unet, payload.plan.model)
    if chosen is None or chosen.label != current_option().label:
        _use(None)


def _use(option: Any) -> Any:
    """Have one network active, that of an option, or none."""
    bound, known = host(), current_option()
    if option is not None and known is not None and known.label == option.label:
        return bound.unet
    if bound.unet is not None:
        leaving, bound.unet = bound.unet, None
        with guarded(f"{getattr(known, 'label', None)}: deactivate"):
            leaving.deactivate()
    if option is not None:
        made = option.create_unet()
        made.option = option
        made.activate()
        bound.unet = made
    return bound.unet


@contextmanager
def _opened(option: Any) -> "Iterator[Network]":
    """Lend a network; it stays active, since the next run may use it too."""
    unet = _use(option)

    def network(x: "Tensor", t: "Tensor", told: "Conditioning") -> "Tensor":
        import torch

        seen = told.extras.get("concat")
        shown = x if seen is None else torch.cat([x, seen.to(x)], dim=1)
        dtype = host().workshop().pool.policy.dtype
        more = {"y": told.extras["y"].to(dtype)} if "y" in told.extras else {}
        answer = unet.forward(shown.to(dtype), t.to(dtype), told.tokens.to(dtype), **more)
        return answer.to(x)

    yield network
