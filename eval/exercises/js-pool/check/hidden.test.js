import assert from "node:assert/strict";
import test from "node:test";
import { mapLimit } from "./pool.js";

/** Calls that end when they are told to. */
function gates(count) {
  const opened = [];
  const promises = Array.from({ length: count }, (_, at) => new Promise((resolve, reject) => (opened[at] = { resolve, reject })));
  return { promises, opened };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

test("hidden: at most the limit is under way, and all of it", async () => {
  const { promises, opened } = gates(5);
  const started = [];
  const all = mapLimit([0, 1, 2, 3, 4], 2, (item) => (started.push(item), promises[item]));
  await settle();
  assert.deepEqual(started, [0, 1]);
  opened[1].resolve("b");
  await settle();
  assert.deepEqual(started, [0, 1, 2]);
  opened[2].resolve("c");
  opened[0].resolve("a");
  await settle();
  assert.deepEqual(started, [0, 1, 2, 3, 4]);
  opened[4].resolve("e");
  opened[3].resolve("d");
  assert.deepEqual(await all, ["a", "b", "c", "d", "e"]);
});

test("hidden: the first error is the result, and nothing is started after it", async () => {
  const { promises, opened } = gates(3);
  const started = [];
  let isSettled = false;
  const all = mapLimit([0, 1, 2], 2, (item) => (started.push(item), promises[item]));
  all.then(() => (isSettled = true), () => (isSettled = true));
  await settle();
  opened[1].reject(new Error("first"));
  await settle();
  assert.deepEqual(started, [0, 1]);
  assert.equal(isSettled, false);
  opened[0].reject(new Error("second"));
  await assert.rejects(all, /first/);
  assert.deepEqual(started, [0, 1]);
});

test("hidden: a call that throws at once is an error like any other", async () => {
  const thrower = () => {
    throw new Error("at once");
  };
  await assert.rejects(mapLimit([1, 2], 1, thrower), /at once/);
});

test("hidden: a limit above the number of items is fine", async () => {
  assert.deepEqual(await mapLimit([1, 2], 99, async (item) => item), [1, 2]);
});

test("hidden: a limit must be a positive whole number", async () => {
  for (const limit of [0, -1, 1.5, NaN, undefined, "2"]) {
    await assert.rejects(async () => mapLimit([1], limit, async (item) => item), RangeError);
  }
});

test("hidden: an error that is undefined is an error", async () => {
  await assert.rejects(mapLimit([1], 1, () => Promise.reject(undefined)).then(() => assert.fail("fulfilled"), () => Promise.reject(new Error("rejected"))), /rejected/);
});
