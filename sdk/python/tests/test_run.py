"""A run's events arrive exactly once and without a gap, whatever its streams do; for both kinds of client."""

import asyncio

import grpc
import pytest
from fake import TASK, Ending, Fake, closed, failed, live, log, of_the_server

import backspace
from backspace import aio, v1

IMPATIENT = backspace.Reconnect(initial_delay_seconds=0.0001, longest_delay_seconds=0.001, give_up_after_seconds=30)
OPTIONS = backspace.Options(reconnect=IMPATIENT)


class Blocking:
    """Follows a run with the client that blocks."""

    @staticmethod
    def follow(fake, begin, options=OPTIONS):
        with backspace.Client(fake.address, options) as client:
            run = begin(client)
            events = []
            try:
                for event in run:
                    events.append(event)
            except backspace.BackspaceError as error:
                assert next(run, None) is None
                return events, error, run
            return events, None, run


class Asyncio:
    """Follows a run with the client for asyncio."""

    @staticmethod
    def follow(fake, begin, options=OPTIONS):
        async def follow():
            async with aio.Client(fake.address, options) as client:
                run = begin(client)
                events = []
                try:
                    async for event in run:
                        events.append(event)
                except backspace.BackspaceError as error:
                    assert await anext(run, None) is None
                    return events, error, run
                return events, None, run

        return asyncio.run(follow())


@pytest.fixture(params=[Blocking, Asyncio])
def kind(request):
    return request.param


def fresh(client):
    return client.run_task(v1.TaskSpec())


def watched(client):
    return client.watch(TASK)


@pytest.mark.parametrize("ending", [closed, failed])
@pytest.mark.parametrize("after", range(7))
def test_a_stream_that_ends_at_any_event_loses_and_repeats_nothing(kind, ending, after):
    # Without an event there is no name yet: an orderly end then looks like a lost call.
    with Fake(log(6), *[ending(after)] * 3) as fake:
        events, error, run = kind.follow(fake, fresh)
    assert error is None
    assert events == log(6)
    assert (run.task, run.last_sequence) == (TASK, 6)


def test_a_run_whose_first_call_was_lost_is_repeated_under_the_same_id_and_then_watched(kind):
    seen = []
    endings = [
        failed(0, grpc.StatusCode.UNAVAILABLE),
        failed(2),
        closed(1),
        of_the_server(grpc.StatusCode.UNAVAILABLE, 1, after=1),
    ]
    with Fake(log(6), *endings) as fake:
        events, _, _ = kind.follow(fake, lambda c: c.run_task(v1.TaskSpec(), on_interruption=seen.append))
    assert events == log(6)
    (first, first_id), (second, second_id), *rest = fake.calls
    assert (first, second) == ("run", "run")
    assert first_id == second_id != ""
    assert rest == [("watch", 2), ("watch", 3), ("watch", 4)]
    assert [i.failures for i in seen] == [1, 1, 1, 1]


def test_live_events_pass_through_in_their_place(kind):
    events = log(3)
    events[1:1] = [live("a"), live("b", 1)]
    with Fake(events) as fake:
        assert kind.follow(fake, fresh)[0] == events


def test_a_hole_is_asked_for_again_and_never_passed_on(kind):
    with Fake(log(5), Ending(left_out=3)) as fake:
        events, error, _ = kind.follow(fake, watched)
    assert (events, error) == (log(5), None)
    assert fake.calls == [("watch", 0), ("watch", 2)]


def test_an_event_that_comes_again_is_not_passed_on_again(kind):
    with Fake(log(5), closed(3), Ending(from_start=True)) as fake:
        assert kind.follow(fake, fresh)[0] == log(5)
    assert fake.calls[1:] == [("watch", 3)]


def test_a_hole_that_stays_is_an_error(kind):
    with Fake(log(5), *[Ending(left_out=3)] * 10) as fake:
        events, error, _ = kind.follow(fake, watched)
    assert isinstance(error, backspace.ContractError)
    assert events == log(5)[:2]


@pytest.mark.parametrize("code", ["NOT_FOUND", "INTERNAL", "OUT_OF_RANGE", "UNAUTHENTICATED"])
def test_answers_of_the_server_end_the_run_at_once(kind, code):
    with Fake(log(5), of_the_server(grpc.StatusCode[code])) as fake:
        _, error, _ = kind.follow(fake, watched)
    assert (error.code.name, error.reason, error.metadata) == (code, "REASON_X", {"key": "value"})
    assert len(fake.calls) == 1


def test_a_rate_limit_is_the_callers_to_see_before_there_is_a_task_and_waited_for_after(kind):
    limited = of_the_server(grpc.StatusCode.RESOURCE_EXHAUSTED, 1)
    with Fake(log(5), limited) as fake:
        _, error, _ = kind.follow(fake, fresh)
    assert error.retry_after_seconds == 0.001
    with Fake(log(5), limited) as fake:
        assert kind.follow(fake, watched)[0] == log(5)


def test_watching_after_the_last_event_of_a_finished_task_ends(kind):
    with Fake(log(5)) as fake:
        events, error, _ = kind.follow(fake, lambda c: c.watch(TASK, 5))
    assert (events, error) == ([], None)
    assert fake.calls == [("watch", 5), ("get",)]


def test_a_server_that_stays_away_is_given_up_with_the_place_to_go_on_from(kind):
    options = backspace.Options(reconnect=backspace.Reconnect(0.0001, 0.001, give_up_after_seconds=0.05))
    with Fake(log(5), closed(2), *[failed(0, grpc.StatusCode.UNAVAILABLE)] * 10_000) as fake:
        events, error, _ = kind.follow(fake, fresh, options)
    assert isinstance(error, backspace.LostError)
    assert (events, error.task, error.last_sequence) == (log(5)[:2], TASK, 2)


def test_closing_a_run_ends_its_iteration_and_not_the_task():
    with Fake(log(5)) as fake, backspace.Client(fake.address, OPTIONS) as client:
        with client.watch(TASK) as run:
            assert next(run).sequence == 1
        assert list(run) == []
        assert [event.sequence for event in client.watch(TASK, 1)] == [2, 3, 4, 5]


def test_waiting_with_a_limit_again_and_again_does_not_keep_a_run_from_coming_back():
    options = backspace.Options(reconnect=backspace.Reconnect(0.003, 0.003))

    async def follow():
        async with aio.Client(fake.address, options) as client:
            run, events, limits = client.run_task(v1.TaskSpec()), [], 0
            while True:
                try:
                    events.append(await asyncio.wait_for(anext(run), 0.001))
                except TimeoutError:
                    limits += 1
                except StopAsyncIteration:
                    return events, limits

    with Fake(log(300), *[closed(3)] * 60) as fake:
        events, limits = asyncio.run(follow())
    assert events == log(300)
    assert limits > 60
