"""Handlers run in the declared order, may change what passes, and do not take each other down."""

from dataclasses import dataclass, replace

import pytest

from modules.domain.events import Event, Noted
from modules.hooks.cancel import CancelReason, CancelToken
from modules.hooks.context import JobContext
from modules.hooks.dispatch import Handler, Hooks
from modules.hooks.points import HOOKS, AfterStep, Hook
from modules.settings.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed(Hook):
    """What came by, as letters."""

    text: str = ""


def adds(name: str, **order: object) -> Handler:
    return Handler(name=name, hook=Passed, call=lambda p: replace(p, text=p.text + name), **order)  # pyright: ignore


def fails(name: str, *, essential: bool = False) -> Handler:
    def call(payload: Passed) -> None:
        raise ValueError("nothing works")

    return Handler(name=name, hook=Passed, call=call, essential=essential)


@pytest.mark.parametrize(
    ("handlers", "text"),
    [
        ([adds("c"), adds("a"), adds("b")], "abc"),
        ([adds("a", after=("b",)), adds("b")], "ba"),
        ([adds("a"), adds("b", before=("a",))], "ba"),
        ([adds("a", after=("c",)), adds("b", after=("a",)), adds("c")], "cab"),
        ([adds("a", after=("nobody",), before=("nobody",))], "a"),
        ([], ""),
    ],
)
def test_order(handlers: list[Handler], text: str) -> None:
    for listed in (handlers, handlers[::-1]):
        assert Hooks(listed).run(Passed()).text == text


def test_the_owner_has_the_last_word_on_the_order() -> None:
    hooks = Hooks([adds("a"), adds("b", after=("c",)), adds("c")], first=["b", "nobody", "c"])
    assert hooks.run(Passed()).text == "bca"
    assert hooks.adding([adds("d")]).noting(print).run(Passed()).text == "bcad"


def test_handlers_that_wait_for_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="wait for each other"):
        Hooks([adds("a", after=("b",)), adds("b", after=("a",))])
    with pytest.raises(ValueError, match="wait for each other"):
        Hooks([adds("a", after=("a",))])


def test_two_handlers_of_one_name_are_refused_and_not_lost() -> None:
    with pytest.raises(ValueError, match="same name"):
        Hooks([adds("a"), adds("a")])


def test_a_failing_handler_is_named_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    assert Hooks([adds("a"), fails("b"), adds("c")], note=told.append).run(Passed()).text == "ac"
    assert told == ["b failed at Passed: nothing works"]
    assert "nothing works" in caplog.text


def test_an_essential_handler_ends_the_job() -> None:
    with pytest.raises(ValueError, match="nothing works"):
        Hooks([fails("b", essential=True)]).run(Passed())


def test_the_same_handlers_can_note_elsewhere() -> None:
    first, second = list[str](), list[str]()
    hooks = Hooks([fails("b")], note=first.append)
    hooks.noting(second.append).run(Passed())
    assert (first, len(second)) == ([], 1)


def test_what_is_no_payload_is_ignored() -> None:
    handlers = [
        Handler(name="none", hook=Passed, call=lambda payload: None),
        Handler(name="text", hook=Passed, call=lambda payload: "abc"),  # pyright: ignore[reportArgumentType]
        Handler(name="base", hook=Passed, call=lambda payload: Hook()),
    ]
    assert Hooks(handlers).run(Passed(text="x")).text == "x"


def test_steps_are_read_only() -> None:
    seen: list[AfterStep] = []
    step = AfterStep(plan=None, batch=None, step="first")  # pyright: ignore[reportArgumentType]
    changes = Handler(name="a", hook=AfterStep, call=lambda p: replace(p, step="other"))
    looks = Handler(name="b", hook=AfterStep, call=seen.append)
    assert Hooks([changes, looks]).run(step) is step
    assert seen == [step]


def test_asking_who_listens() -> None:
    hooks = Hooks([adds("a")])
    assert hooks.has(Passed)
    assert not hooks.has(AfterStep)
    assert not any(Hooks().has(hook) for hook in HOOKS)


@pytest.mark.parametrize(
    ("asked", "stands", "ends_batch", "ends_job"),
    [
        ([], None, False, False),
        (["skip"], "skip", True, False),
        (["stop"], "stop", False, True),
        (["interrupt"], "interrupt", True, True),
        (["skip", "stop"], "stop", False, True),
        (["stop", "skip"], "stop", False, True),
        (["interrupt", "stop", "skip"], "interrupt", True, True),
    ],
)
def test_the_stronger_request_stands(asked: list[str], stands: str | None, ends_batch: bool, ends_job: bool) -> None:
    token = CancelToken()
    for reason in asked:
        token.set(CancelReason(reason))
    assert token.reason is (CancelReason(stands) if stands else None)
    assert (token.ends_batch, token.ends_job) == (ends_batch, ends_job)


def test_only_a_skip_is_forgotten_with_its_batch() -> None:
    token = CancelToken()
    token.set(CancelReason.SKIP)
    token.clear_skip()
    assert token.reason is None
    token.set(CancelReason.STOP)
    token.clear_skip()
    assert token.reason is CancelReason.STOP


def test_a_nested_run_shares_token_and_events() -> None:
    told: list[Event] = []
    outer = JobContext(job_id="1", settings=Snapshot(), emit=told.append)
    inner = replace(outer, settings=Snapshot().with_overrides({"jpeg_quality": 3}))
    inner.note("hello")
    outer.cancel.set(CancelReason.STOP)
    assert inner.cancel.ends_job
    assert [(type(event), event.job_id, event.text) for event in told if isinstance(event, Noted)] == [
        (Noted, "1", "hello")
    ]
    assert outer.settings.saving.jpeg_quality != inner.settings.saving.jpeg_quality
    assert not outer.wants_preview(1)


def test_two_jobs_do_not_share_a_token() -> None:
    one, other = (JobContext(job_id=name, settings=Snapshot(), emit=lambda event: None) for name in "ab")
    one.cancel.set(CancelReason.INTERRUPT)
    assert not other.cancel.ends_job
