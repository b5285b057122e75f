import assert from "node:assert/strict";
import test from "node:test";
import { parse } from "./csv.js";

test("hidden: quoted fields hold commas, line breaks and quotes", () => {
  assert.deepEqual(parse('"a,b","c\nd","say ""hi"""\n1,2,3'), [["a,b", "c\nd", 'say "hi"'], ["1", "2", "3"]]);
  assert.deepEqual(parse('""'), [[""]]);
  assert.deepEqual(parse('"",\n'), [["", ""]]);
});

test("hidden: lines end with LF or CRLF, the last one or not", () => {
  assert.deepEqual(parse("a,b\r\nc,d\r\n"), [["a", "b"], ["c", "d"]]);
  assert.deepEqual(parse('"a"\r\n"b"'), [["a"], ["b"]]);
  assert.deepEqual(parse('"a\r\nb"'), [["a\r\nb"]]);
  assert.deepEqual(parse("a\n\nb\n"), [["a"], [""], ["b"]]);
});

test("hidden: a quote inside an unquoted field is an ordinary character", () => {
  assert.deepEqual(parse('5" disk,a"b"'), [['5" disk', 'a"b"']]);
});

test("hidden: a quote that is never closed is an error in its line", () => {
  assert.throws(() => parse('a\n"b\nc\n'), (error) => error instanceof SyntaxError && /\b2\b/.test(error.message));
  assert.throws(() => parse('"'), (error) => error instanceof SyntaxError && /\b1\b/.test(error.message));
});

test("hidden: what follows a closing quote is a comma or a line end", () => {
  assert.throws(() => parse('a,b\nc\n"d"e'), (error) => error instanceof SyntaxError && /\b3\b/.test(error.message));
  assert.throws(() => parse('"a\n\nb" ,c'), (error) => error instanceof SyntaxError && /\b1\b/.test(error.message));
});
