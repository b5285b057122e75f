import assert from "node:assert/strict";
import test from "node:test";
import { slugify } from "./slug.js";

test("hidden: it does what is wished for", () => {
  assert.equal(slugify("Crème brûlée!"), "creme-brulee");
  assert.equal(slugify("-- a --"), "a");
});
