import assert from "node:assert/strict";
import test from "node:test";
import { Emitter } from "./emitter.js";

test("listeners are called in order with the values", () => {
  const seen = [];
  const emitter = new Emitter();
  emitter.on("a", (value) => seen.push(["first", value])).on("a", (value) => seen.push(["second", value]));
  assert.equal(emitter.emit("a", 1), 2);
  assert.equal(emitter.emit("b"), 0);
  assert.deepEqual(seen, [["first", 1], ["second", 1]]);
});

test("once is once, and off is off", () => {
  let count = 0;
  const listener = () => (count += 1);
  const emitter = new Emitter().once("a", listener).on("b", listener).off("b", listener);
  emitter.emit("a");
  emitter.emit("a");
  emitter.emit("b");
  assert.equal(count, 1);
});
