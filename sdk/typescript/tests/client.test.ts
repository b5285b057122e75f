/** Calls, artifacts, errors, addresses and live output. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { parseAddress } from "../src/address.js";
import { AddressError, CallError, LiveOutput, UnreachableError, v1 } from "../src/index.js";
import { delayMs, RECONNECT } from "../src/reconnect.js";
import { all, ARTIFACT, Fake, failed, IMPATIENT, live, log, ofTheServer, TASK, TRANSPORTS } from "./fake.js";

for (const { protocol, client, connect } of TRANSPORTS) {
  describe(`a client over ${protocol}`, () => {
    it("sends its token with every call", async (context) => {
      const fake = await new Fake(log(2)).serve(context, protocol);
      const connected = await connect(fake.address, { token: " secret\n" });
      await all(connected.watch(TASK));
      assert.equal((await connected.cancelTask(TASK, "no longer needed")).cancelRequested, true);
      assert.deepEqual(fake.calls, ["info", "watch 0", "cancel no longer needed"]);
      for (const headers of fake.headers) {
        assert.equal(headers.get("authorization"), "Bearer secret");
        if (protocol === "grpc") {
          assert.match(headers.get("user-agent") ?? "", /^backspace-sdk-typescript\//);
        }
      }
      for (const bad of ["", " \n", "two words", "line\nbreak", "ünïcode"]) {
        assert.throws(() => client("localhost", { token: bad }), AddressError);
      }
    });

    it("tells every violation", async (context) => {
      const error = ofTheServer(Code.InvalidArgument, undefined, [
        ["spec.instruction", "must not be empty"],
        ["spec.repository.url", "is no address"],
      ]);
      const fake = await new Fake(log(2), { error }).serve(context, protocol);
      await assert.rejects(client(fake.address).getTask(TASK), (caught) => {
        assert(caught instanceof CallError);
        assert.equal(caught.message, "no; spec.instruction: must not be empty; spec.repository.url: is no address");
        assert.deepEqual(caught.violations[1], { field: "spec.repository.url", description: "is no address" });
        assert.deepEqual([caught.name, caught.isRetryable], ["CallError", false]);
        return true;
      });
    });

    it("turns pages", async (context) => {
      const fake = await new Fake(log(2)).serve(context, protocol);
      const names: string[] = [];
      for await (const task of client(fake.address).listTasks()) {
        names.push(task.name);
      }
      assert.deepEqual(names, ["tasks/b", "tasks/a"]);
      assert.deepEqual(fake.calls, ["list ", "list more"]);
    });

    it("reads an artifact whole however often it is cut", async (context) => {
      const lost = { after: 5, error: ofTheServer(Code.Unavailable, 1) };
      const fake = await new Fake(log(2), failed(3), failed(0), lost).serve(context, protocol);
      const pieces: Uint8Array[] = [];
      for await (const piece of client(fake.address, { reconnect: IMPATIENT }).readArtifact("x")) {
        pieces.push(piece);
      }
      assert.deepEqual(new Uint8Array(Buffer.concat(pieces)), ARTIFACT);
      assert.deepEqual(fake.calls, ["read 0", "read 3000", "read 3000", "read 8000"]);
      await assert.rejects(client(fake.address).readArtifactText("x", 1_000), /longer than the 1000 bytes/);
    });

    it("says at once where nothing listens", async () => {
      await assert.rejects(connect("127.0.0.1:1"), (error) => {
        assert(error instanceof UnreachableError);
        assert.match(error.message, /^no Backspace server can be reached at 127\.0\.0\.1:1: /);
        return true;
      });
    });
  });
}

describe("an address", () => {
  it("is accepted or refused with its reason", () => {
    const accepted: [string, string][] = [
      ["https://code.example", "https://code.example"],
      ["https://code.example:8443/", "https://code.example:8443"],
      ["code.example:8443", "https://code.example:8443"],
      ["127.0.0.1:8000", "http://127.0.0.1:8000"],
      ["localhost:8000", "http://localhost:8000"],
      ["[::1]:8000", "http://[::1]:8000"],
      ["http://127.9.9.9:1", "http://127.9.9.9:1"],
      [" https://code.example ", "https://code.example"],
    ];
    for (const [address, expected] of accepted) {
      assert.equal(parseAddress(address, "loopback-only"), expected, address);
    }
    const refused: [string, RegExp][] = [
      ["", /cannot be read/],
      ["http://", /cannot be read/],
      ["http://code.example:8000", /another machine/],
      ["http://127.0.0.1.evil.example", /another machine/],
      ["http://localhost.evil.example", /another machine/],
      ["https://user:secret@code.example", /user or password/],
      ["http://localhost@evil.example", /user or password/],
      ["https://code.example/path", /path or query/],
      ["https://code.example/?q=1", /path or query/],
      ["ftp://code.example", /unknown scheme/],
      ["https://code.example:port", /cannot be read/],
    ];
    for (const [address, reason] of refused) {
      assert.throws(() => parseAddress(address, "loopback-only"), reason, address);
    }
    assert.equal(parseAddress("http://code.example:8000", "anywhere"), "http://code.example:8000");
  });
});

describe("delays", () => {
  it("double up to the longest, and half of each is random", () => {
    const delays = [1, 2, 3, 20, 10_000].map((failures) => delayMs(RECONNECT, failures, undefined, 0));
    assert.deepEqual(delays, [100, 200, 400, 5_000, 5_000]);
    assert.deepEqual([delayMs(RECONNECT, 1, undefined, 1), delayMs(RECONNECT, 1, 30_000, 1)], [200, 30_200]);
  });
});

describe("live output", () => {
  it("drops what came twice and counts what is missing", () => {
    const output = (offset: number, text: string): v1.TaskEvent => {
      const chunk = { case: "stdout" as const, value: new TextEncoder().encode(text) };
      const value = create(v1.ToolOutputDeltaSchema, { callId: "c1", offset: BigInt(offset), chunk });
      return create(v1.TaskEventSchema, { payload: { case: "toolOutputDelta", value } });
    };
    const table: [v1.TaskEvent | undefined, [string, string, number, boolean] | undefined][] = [
      [live("häl"), ["turn 1", "häl", 0, false]],
      [live("ällo", 1), ["turn 1", "lo", 0, false]],
      [live("lo", 4), undefined],
      [live("!", 9), ["turn 1", "!", 3, false]],
      [live("anew", 0, 2), ["turn 1", "anew", 0, true]],
      [live("late", 0, 1), undefined],
      [output(0, "ab"), ["c1 stdout", "ab", 0, false]],
      [output(1, "bc"), ["c1 stdout", "c", 0, false]],
      [log(2)[0], undefined],
    ];
    const follower = new LiveOutput();
    for (const [event, expected] of table) {
      assert(event);
      const piece = follower.take(event);
      const told = piece && [piece.source, new TextDecoder().decode(piece.data), piece.missingBytes, piece.replaces];
      assert.deepEqual(told, expected);
    }
  });
});
