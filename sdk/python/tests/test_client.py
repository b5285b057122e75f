"""Calls, artifacts, errors, addresses and live output."""

import asyncio

import grpc
import pytest
from fake import ARTIFACT, TASK, Fake, closed, failed, live, log, of_the_server

import backspace
from backspace import aio, v1
from backspace.options import parse_address

OPTIONS = backspace.Options(
    token=" secret\n",
    reconnect=backspace.Reconnect(initial_delay_seconds=0.0001, longest_delay_seconds=0.001),
)


def test_the_token_goes_with_every_call_and_is_never_shown():
    with Fake(log(2)) as fake, backspace.connect(fake.address, OPTIONS) as client:
        list(client.watch(TASK))
        client.cancel_task(TASK, "no longer needed")
    assert fake.calls == [("info",), ("watch", 0), ("cancel", "no longer needed")]
    assert [headers["authorization"] for headers in fake.headers] == ["Bearer secret"] * 3
    assert fake.headers[0]["user-agent"].startswith("backspace-sdk-python/")
    assert "secret" not in repr(OPTIONS)
    for bad in ["", " \n", "two words", "line\nbreak", "ünïcode"]:
        with pytest.raises(backspace.AddressError, match="token"):
            backspace.Client("localhost", backspace.Options(token=bad))


def test_every_violation_is_told():
    violations = [("spec.instruction", "must not be empty"), ("spec.repository.url", "is no address")]
    with Fake(log(2), of_the_server(grpc.StatusCode.INVALID_ARGUMENT, violations=violations)) as fake:
        with backspace.Client(fake.address) as client, pytest.raises(backspace.CallError) as caught:
            client.get_task(TASK)
    error = caught.value
    assert [(v.field, v.description) for v in error.violations] == violations
    assert str(error) == "no; spec.instruction: must not be empty; spec.repository.url: is no address"
    assert not error.is_retryable


def test_an_answer_is_told_from_a_fault_of_the_connection():
    codes = grpc.StatusCode
    server, transport = backspace.Origin.SERVER, backspace.Origin.TRANSPORT
    table = [
        (server, codes.UNAVAILABLE, None, True),
        (server, codes.INTERNAL, None, False),
        (server, codes.NOT_FOUND, None, False),
        (server, codes.RESOURCE_EXHAUSTED, None, False),
        (server, codes.RESOURCE_EXHAUSTED, 1.0, True),
        (transport, codes.INTERNAL, None, True),
        (transport, codes.CANCELLED, None, True),
        (transport, codes.UNKNOWN, None, True),
        (transport, codes.UNAUTHENTICATED, None, False),
        (transport, codes.UNIMPLEMENTED, None, False),
    ]
    for origin, code, retry_after, expected in table:
        error = backspace.CallError(code, "", origin=origin, retry_after_seconds=retry_after)
        assert error.is_retryable is expected, (origin, code, retry_after)


def test_an_error_info_of_another_domain_is_not_ours():
    with Fake(log(2), of_the_server(grpc.StatusCode.INTERNAL, domain="proxy.example")) as fake:
        with backspace.Client(fake.address) as client, pytest.raises(backspace.CallError) as caught:
            client.get_task(TASK)
    assert (caught.value.origin, caught.value.reason) == (backspace.Origin.TRANSPORT, "")


def test_pages_are_turned():
    with Fake(log(2)) as fake, backspace.Client(fake.address) as client:
        assert [task.name for task in client.list_tasks()] == ["tasks/b", "tasks/a"]
    assert fake.calls == [("list", ""), ("list", "more")]


def test_an_artifact_is_whole_however_often_it_is_cut():
    endings = [failed(3), failed(0), of_the_server(grpc.StatusCode.UNAVAILABLE, 1, after=5)]
    with Fake(log(2), *endings) as fake, backspace.Client(fake.address, OPTIONS) as client:
        assert client.read_artifact(f"{TASK}/artifacts/patch").read(1_000_000) == ARTIFACT
    assert fake.calls == [("read", 0), ("read", 3_000), ("read", 3_000), ("read", 8_000)]
    with Fake(log(2)) as fake, backspace.Client(fake.address) as client:
        with pytest.raises(backspace.BackspaceError, match="longer than the 1000 bytes"):
            client.read_artifact("x").read(1_000)


def test_the_client_for_asyncio_makes_the_same_calls():
    async def talk():
        async with await aio.connect(fake.address, OPTIONS) as client:
            names = [task.name async for task in client.list_tasks()]
            whole = b"".join([data async for data in client.read_artifact("x")])
            return names, whole, (await client.cancel_task(TASK)).cancel_requested

    with Fake(log(2), closed(0), closed(0), closed(0), failed(2)) as fake:
        assert asyncio.run(talk()) == (["tasks/b", "tasks/a"], ARTIFACT, True)
    assert fake.calls[-2:] == [("read", 2_000), ("cancel", "")]


def test_where_nothing_listens_is_said_at_once():
    with Fake(log(2)) as fake:
        pass
    with pytest.raises(backspace.UnreachableError, match=f"no Backspace server can be reached at {fake.address}"):
        backspace.connect(fake.address)


def test_addresses():
    accepted = [
        ("https://code.example", ("code.example:443", True)),
        ("https://code.example:8443/", ("code.example:8443", True)),
        ("code.example:8443", ("code.example:8443", True)),
        ("127.0.0.1:8000", ("127.0.0.1:8000", False)),
        ("localhost:8000", ("localhost:8000", False)),
        ("[::1]:8000", ("[::1]:8000", False)),
        ("http://127.9.9.9:1", ("127.9.9.9:1", False)),
    ]
    for address, expected in accepted:
        assert parse_address(address, "loopback-only") == expected, address
    refused = [
        ("", "names no host"),
        ("http://", "names no host"),
        ("http://code.example:8000", "another machine"),
        ("http://127.0.0.1.evil.example", "another machine"),
        ("http://localhost.evil.example", "another machine"),
        ("https://user:secret@code.example", "user or password"),
        ("http://localhost@evil.example", "user or password"),
        ("https://code.example/path", "path or query"),
        ("https://code.example/?q=1", "path or query"),
        ("ftp://code.example", "unknown scheme"),
        ("https://code.example:port", "cannot be read"),
    ]
    for address, reason in refused:
        with pytest.raises(backspace.AddressError, match=reason):
            parse_address(address, "loopback-only")
    assert parse_address("http://code.example:8000", "anywhere") == ("code.example:8000", False)


def test_delays_double_up_to_the_longest_and_half_of_each_is_random():
    reconnect = backspace.Reconnect()
    assert [reconnect.delay_seconds(n, None, 0.0) for n in (1, 2, 3, 20, 10_000)] == [0.1, 0.2, 0.4, 5.0, 5.0]
    assert reconnect.delay_seconds(1, None, 1.0) == 0.2
    assert reconnect.delay_seconds(1, 30.0, 0.0) == 30.0


def test_live_output_drops_what_came_twice_and_counts_what_is_missing():
    def output(call, offset, **chunk):
        return v1.TaskEvent(tool_output_delta=v1.ToolOutputDelta(call_id=call, offset=offset, **chunk))

    def again(text, attempt):
        return v1.TaskEvent(assistant_delta=v1.AssistantDelta(turn=1, attempt=attempt, text=text))

    follower = backspace.LiveOutput()
    table = [
        (live("häl", 0), backspace.Piece("turn 1", "häl".encode(), 0, False)),
        (live("ällo", 1), backspace.Piece("turn 1", b"lo", 0, False)),
        (live("lo", 4), None),
        (live("!", 9), backspace.Piece("turn 1", b"!", 3, False)),
        (again("anew", 2), backspace.Piece("turn 1", b"anew", 0, True)),
        (again("late", 1), None),
        (output("c1", 0, stdout=b"ab"), backspace.Piece("c1 stdout", b"ab", 0, False)),
        (output("c1", 3, stderr=b"x"), backspace.Piece("c1 stderr", b"x", 3, False)),
        (output("c1", 1, stdout=b"bc"), backspace.Piece("c1 stdout", b"c", 0, False)),
        (log(2)[0], None),
    ]
    for event, expected in table:
        assert follower.take(event) == expected, event
