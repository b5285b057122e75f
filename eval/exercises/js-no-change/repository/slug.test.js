import assert from "node:assert/strict";
import test from "node:test";
import { slugify } from "./slug.js";

test("a title becomes words with dashes between them", () => {
  assert.equal(slugify("  Hello,   World "), "hello-world");
  assert.equal(slugify("À la carte"), "a-la-carte");
});
