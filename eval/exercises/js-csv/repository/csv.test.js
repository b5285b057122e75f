import assert from "node:assert/strict";
import test from "node:test";
import { parse } from "./csv.js";

test("rows and fields", () => {
  assert.deepEqual(parse("a,b\nc,\n"), [["a", "b"], ["c", ""]]);
  assert.deepEqual(parse("a"), [["a"]]);
  assert.deepEqual(parse(""), []);
});
