/** A run's events arrive exactly once and without a gap, whatever its streams do; over both transports. */
import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { CallError, ContractError, type Interruption, LostError } from "../src/index.js";
import { all, closed, type Ending, Fake, failed, IMPATIENT, live, log, ofTheServer, TASK, TRANSPORTS } from "./fake.js";

for (const { protocol, client } of TRANSPORTS) {
  describe(`a run over ${protocol}`, () => {
    async function begin(context: TestContext, events: ReturnType<typeof log>, ...endings: Ending[]) {
      const fake = await new Fake(events, ...endings).serve(context, protocol);
      return { fake, client: client(fake.address, { reconnect: IMPATIENT }) };
    }

    for (const ending of [closed, failed]) {
      it(`loses and repeats nothing when its streams are ${ending.name} at any event`, async (context) => {
        for (let after = 0; after < 7; after += 1) {
          const { client } = await begin(context, log(6), ending(after), ending(after), ending(after));
          const run = client.runTask({});
          assert.deepEqual(await all(run), log(6), `after ${after}`);
          assert.deepEqual([run.task, run.lastSequence], [TASK, 6n]);
        }
      });
    }

    it("whose first call was lost is repeated under the same id and then watched", async (context) => {
      const { fake, client } = await begin(
        context,
        log(6),
        failed(0, Code.Unavailable),
        failed(2),
        closed(1),
        { after: 1, error: ofTheServer(Code.Unavailable, 1) },
      );
      const lost: Interruption[] = [];
      const run = client.runTask({}, { onInterruption: (interruption) => lost.push(interruption) });
      assert.deepEqual(await all(run), log(6));
      const [first, second, ...rest] = fake.calls;
      assert.match(first ?? "", /^run [0-9a-f-]{36}$/);
      assert.equal(first, second);
      assert.deepEqual(rest, ["watch 2", "watch 3", "watch 4"]);
      assert.deepEqual(lost.map(({ failures }) => failures), [1, 1, 1, 1]);
    });

    it("passes live events through in their place", async (context) => {
      const events = log(3);
      events.splice(1, 0, live("a"), live("b", 1));
      const { client } = await begin(context, events);
      assert.deepEqual(await all(client.runTask({})), events);
    });

    it("asks again for a hole and never passes it on", async (context) => {
      const { fake, client } = await begin(context, log(5), { leftOut: 3n });
      assert.deepEqual(await all(client.watch(TASK)), log(5));
      assert.deepEqual(fake.calls, ["watch 0", "watch 2"]);
    });

    it("does not pass on again what comes again", async (context) => {
      const { fake, client } = await begin(context, log(5), closed(3), { fromStart: true });
      assert.deepEqual(await all(client.runTask({})), log(5));
      assert.deepEqual(fake.calls.slice(1), ["watch 3"]);
    });

    it("ends with an error when a hole stays", async (context) => {
      const { client } = await begin(context, log(5), ...Array.from({ length: 10 }, () => ({ leftOut: 3n })));
      const run = client.watch(TASK);
      await assert.rejects(all(run), ContractError);
      assert.deepEqual(await run.next(), { done: true, value: undefined });
    });

    it("ends at once with an answer of the server", async (context) => {
      for (const code of [Code.NotFound, Code.Internal, Code.OutOfRange, Code.Unauthenticated]) {
        const { fake, client } = await begin(context, log(5), { after: 0, error: ofTheServer(code) });
        await assert.rejects(all(client.watch(TASK)), (error) => {
          assert(error instanceof CallError);
          assert.deepEqual([error.code, error.reason, error.metadata], [code, "REASON_X", { key: "value" }]);
          return true;
        });
        assert.deepEqual(fake.calls, ["watch 0"]);
      }
    });

    it("shows a rate limit to its caller before there is a task and waits for it after", async (context) => {
      const limited = { after: 0, error: ofTheServer(Code.ResourceExhausted, 1) };
      const before = await begin(context, log(5), limited);
      await assert.rejects(all(before.client.runTask({})), { retryAfterMs: 1 });
      const after = await begin(context, log(5), limited);
      assert.deepEqual(await all(after.client.watch(TASK)), log(5));
    });

    it("that is watched after the last event of a finished task ends", async (context) => {
      const { fake, client } = await begin(context, log(5));
      assert.deepEqual(await all(client.watch(TASK, 5)), []);
      assert.deepEqual(fake.calls, ["watch 5", "get"]);
    });

    it("is given up with the place to go on from when the server stays away", async (context) => {
      const away = Array.from({ length: 10_000 }, () => failed(0, Code.Unavailable));
      const fake = await new Fake(log(5), closed(2), ...away).serve(context, protocol);
      const impatient = client(fake.address, { reconnect: { ...IMPATIENT, giveUpAfterMs: 50 } });
      await assert.rejects(all(impatient.runTask({})), (error) => {
        assert(error instanceof LostError);
        assert.deepEqual([error.task, error.lastSequence], [TASK, 2n]);
        return true;
      });
    });

    it("ends with its signal and when its loop is left", async (context) => {
      const { client } = await begin(context, log(5));
      const stopping = new AbortController();
      const run = client.watch(TASK, 0, { signal: stopping.signal });
      assert.equal((await run.next()).value?.sequence, 1n);
      stopping.abort();
      await assert.rejects(all(run), { name: "AbortError" });

      const left = client.watch(TASK);
      for await (const event of left) {
        assert.equal(event.sequence, 1n);
        break;
      }
      assert.deepEqual(await left.next(), { done: true, value: undefined });
    });
  });
}

describe("errors", () => {
  it("of the connection are told from answers of the server", () => {
    const table: [ConnectError, boolean][] = [
      [ofTheServer(Code.Unavailable), true],
      [ofTheServer(Code.Internal), false],
      [ofTheServer(Code.NotFound), false],
      [ofTheServer(Code.ResourceExhausted), false],
      [ofTheServer(Code.ResourceExhausted, 1), true],
      [ofTheServer(Code.Internal, undefined, [], "proxy.example"), true],
      [new ConnectError("", Code.Internal), true],
      [new ConnectError("", Code.Canceled), true],
      [new ConnectError("", Code.Unknown), true],
      [new ConnectError("", Code.Unauthenticated), false],
      [new ConnectError("", Code.Unimplemented), false],
    ];
    for (const [error, expected] of table) {
      assert.equal(new CallError(error).isRetryable, expected, String(error));
    }
  });
});
