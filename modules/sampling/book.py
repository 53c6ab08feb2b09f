"""Which samplers and schedules there are to choose from, and what names written by people and old files mean."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from modules.domain.errors import UnknownName
from modules.sampling.catalogue import SAMPLERS, Sampler
from modules.sampling.schedules import AUTOMATIC, SCHEDULES, Schedule


class _Labelled(Protocol):
    @property
    def label(self) -> str: ...


LabelledT = TypeVar("LabelledT", bound=_Labelled)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Resolved:
    """What a pair of names means."""

    sampler: Sampler
    schedule: Schedule
    """As chosen; may be Automatic."""
    runs: Schedule
    """The schedule that really runs."""
    notes: tuple[str, ...] = ()
    """What was corrected, for the person."""
    known: bool = True
    """False when the sampler's name matched nothing and the first sampler stands in."""

    @property
    def schedule_type(self) -> str:
        """Return what infotext prints as Schedule type."""
        return self.schedule.label if self.sampler.timesteps else self.runs.label


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SamplerBook:
    """The samplers and schedules of this program and those that extensions added, in the order people see them."""

    samplers: tuple[Sampler, ...] = SAMPLERS
    schedules: tuple[Schedule, ...] = SCHEDULES

    def adding(self, samplers: Iterable[Sampler] = (), schedules: Iterable[Schedule] = ()) -> "SamplerBook":
        """Return a book with more in it; one whose label is taken stands in the place of the one that has it."""
        return SamplerBook(samplers=_joined(self.samplers, samplers), schedules=_joined(self.schedules, schedules))

    def sampler(self, label: str) -> Sampler:
        """Find a sampler by its exact label.

        Raises:
            UnknownName: there is none.
        """
        found = self._labelled(label)
        if found is None:
            raise UnknownName("sampler", label, (s.label for s in self.samplers), field="sampler_name")
        return found

    def schedule(self, text: str) -> Schedule:
        """Find a schedule by label, name or alias, exactly as written.

        Raises:
            UnknownName: nothing answers to it.
        """
        for schedule in self.schedules:
            if text in schedule.answers_to():
                return schedule
        raise UnknownName("scheduler", text, (s.label for s in self.schedules), field="scheduler")

    def runs(self, sampler: Sampler, schedule: Schedule) -> Schedule:
        """Replace Automatic by the sampler's own default, if it has one that is there."""
        if schedule is not AUTOMATIC or not sampler.default_schedule:
            return schedule
        default = sampler.default_schedule
        return next((one for one in self.schedules if default in one.answers_to()), schedule)

    def resolve(
        self, sampler_name: str | None, scheduler: str | None, *, default_is_automatic: bool = True
    ) -> Resolved:
        """Turn the names of a request or an old file into a sampler and a schedule; never fails.

        Args:
            sampler_name: a label, possibly followed by a schedule ("DPM++ 2M Karras").
            scheduler: a schedule's label, name or alias; anything else means Automatic.
            default_is_automatic: report the sampler's own default schedule as Automatic.
        """
        named = next((s for s in self.schedules if scheduler in s.answers_to()), None)
        found, schedule = self._labelled(sampler_name or ""), named or AUTOMATIC
        if found is None:
            rest, schedule = self._without_suffix(sampler_name or "", schedule)
            found = self._labelled(rest)
        sampler = found or self.samplers[0]
        if default_is_automatic and sampler.default_schedule == schedule.label:
            schedule = AUTOMATIC
        notes: list[str] = []
        if sampler_name and not found:
            notes.append(f"Sampler {sampler_name[:100]!r} not found, {sampler.label} was used")
        if scheduler and named is None:
            notes.append(f"Schedule type {scheduler[:100]!r} not found, {schedule.label} was used")
        return Resolved(
            sampler=sampler, schedule=schedule, runs=self.runs(sampler, schedule), notes=tuple(notes),
            known=found is not None,
        )  # fmt: skip

    def _labelled(self, label: str) -> Sampler | None:
        return next((one for one in self.samplers if one.label == label), None)

    def _without_suffix(self, name: str, schedule: Schedule) -> tuple[str, Schedule]:
        """Cut a schedule off the end of a sampler's name; a later schedule in the list may match what is left."""
        for candidate in self.schedules:
            for text in candidate.answers_to():
                if name.endswith(" " + text):
                    name, schedule = name.removesuffix(" " + text), candidate
        return name, schedule


BOOK = SamplerBook()
"""Without extensions."""


def _joined(known: tuple[LabelledT, ...], more: Iterable[LabelledT]) -> tuple[LabelledT, ...]:
    by_label = {one.label: one for one in known} | {one.label: one for one in more}
    return tuple(by_label.values())
