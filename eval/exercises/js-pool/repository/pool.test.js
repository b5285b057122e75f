import assert from "node:assert/strict";
import test from "node:test";
import { mapLimit } from "./pool.js";

test("results keep the order of the items", async () => {
  assert.deepEqual(await mapLimit([3, 1, 2], 2, async (item, at) => item * 10 + at), [30, 11, 22]);
  assert.deepEqual(await mapLimit([], 2, async () => assert.fail("there is nothing to call")), []);
});
