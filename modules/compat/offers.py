"""Samplers, schedules and upscalers that extensions for A1111 put into its lists, beside the native ones."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modules.domain.cards import CardSource
from modules.extending.offers import Offers

if TYPE_CHECKING:
    from modules.imaging.upscale import NamedUpscaler
    from modules.pipeline.faces import Restore
    from modules.pipeline.unets import OfferedUnet
    from modules.sampling.book import SamplerBook


class AllOffers(Offers):
    """Looks at A1111's lists anew each time, since extensions may change them whenever they like."""

    def book(self) -> "SamplerBook":
        """Return the samplers and schedules; those of A1111's extensions replace others of their name."""
        from modules.compat.samplers import added_samplers
        from modules.compat.schedules import added_schedules

        return super().book().adding(added_samplers(), added_schedules())

    def unets(self) -> "Sequence[OfferedUnet]":
        """Return the networks that may stand in the place of a checkpoint's own."""
        from modules.compat.unets import added_unets

        return (*super().unets(), *added_unets())

    def face_restorers(self) -> "Mapping[str, Restore]":
        """Return what restores faces, by name."""
        from modules.compat.faces import added_restorers

        return {**super().face_restorers(), **added_restorers()}

    def cards(self) -> Sequence[CardSource]:
        """Return the pages of cards of extensions."""
        from modules.compat.card_pages import added_pages

        return (*super().cards(), *added_pages())

    def attentions(self) -> Sequence[str]:
        """Return what extensions call their ways to compute attention."""
        from modules.compat.optimizers import optimizer_titles

        return optimizer_titles()

    def upscalers(self) -> "Mapping[str, NamedUpscaler]":
        """Return everything that enlarges pictures, by name."""
        from modules.compat.upscalers import added_upscalers

        return {**super().upscalers(), **{one.name: one for one in added_upscalers()}}
