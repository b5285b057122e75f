import assert from "node:assert/strict";
import test from "node:test";
import { Emitter } from "./emitter.js";

test("hidden: a listener that removes itself skips nobody", () => {
  const seen = [];
  const emitter = new Emitter();
  const first = () => {
    seen.push("first");
    emitter.off("a", first);
  };
  emitter.on("a", first).on("a", () => seen.push("second"));
  assert.equal(emitter.emit("a"), 2);
  assert.equal(emitter.emit("a"), 1);
  assert.deepEqual(seen, ["first", "second", "second"]);
});

test("hidden: once skips nobody", () => {
  const seen = [];
  const emitter = new Emitter();
  for (const name of ["x", "y", "z"]) emitter.once("a", () => seen.push(name));
  emitter.emit("a");
  emitter.emit("a");
  assert.deepEqual(seen, ["x", "y", "z"]);
});

test("hidden: a listener that was removed before its turn is not called", () => {
  const seen = [];
  const emitter = new Emitter();
  const second = () => seen.push("second");
  emitter.on("a", () => emitter.off("a", second)).on("a", second);
  assert.equal(emitter.emit("a"), 1);
  assert.deepEqual(seen, []);
});

test("hidden: a listener that was added meanwhile waits for the next emit", () => {
  const seen = [];
  const emitter = new Emitter();
  emitter.once("a", () => emitter.on("a", () => seen.push("new")));
  emitter.emit("a");
  assert.deepEqual(seen, []);
  emitter.emit("a");
  assert.deepEqual(seen, ["new"]);
});

test("hidden: a once listener that emits again is called once", () => {
  let count = 0;
  const emitter = new Emitter();
  emitter.once("a", () => {
    count += 1;
    emitter.emit("a");
  });
  emitter.emit("a");
  assert.equal(count, 1);
});
