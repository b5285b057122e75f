// Colours for a line of code.
//
// Knows lines, not languages: a line of a diff has no context that a parser could use, and the grammars of
// highlighting libraries take time that grows badly on text made for it. This takes one pass over a line
// of bounded length, whatever the line says.

import { element } from "./element.js";

const MAX_LINE = 1000;

const WORDS = {
  c: "alignas auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern false final float for friend goto if inline int long mutable namespace new nullptr operator override private protected public register return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while NULL",
  java: "abstract assert boolean break byte case catch char class const continue default do double else enum extends final finally float for if implements import instanceof int interface long native new null package private protected public record return sealed short static super switch synchronized this throw throws transient true false try var void volatile while yield val fun object when is in companion data suspend override",
  js: "abstract any as async await boolean break case catch class const continue debugger declare default delete do else enum export extends false finally for from function get if implements import in instanceof interface keyof let namespace never new null number of private protected public readonly return satisfies set static string super switch this throw true try type typeof undefined unknown var void while with yield",
  go: "any bool break byte case chan const continue default defer else error fallthrough false float64 for func go goto if import int int64 interface iota map nil package range return rune select string struct switch true type uint8 uint64 var",
  rust: "as async await bool break const continue crate dyn else enum extern false fn for i32 i64 if impl in let loop match mod move mut None Ok Err Some pub ref return Self self static str String struct super trait true type u8 u32 u64 unsafe use usize where while",
  python:
    "False None True and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return self try while with yield",
  ruby: "BEGIN END alias and begin break case class def defined do else elsif end ensure false for if in module next nil not or redo require rescue retry return self super then true undef unless until when while yield",
  shell:
    "case do done echo elif else esac exit export fi for function if in local readonly return set shift then trap unset until while",
  php: "abstract and array as break case catch class const continue declare default do echo else elseif empty extends final finally fn for foreach function global if implements include instanceof interface isset namespace new null or print private protected public readonly require return static switch throw trait true false try use var while yield",
  sql: "add all alter and as asc begin between by case check column commit constraint create default delete desc distinct drop else end exists foreign from group having in index inner insert into is join key left like limit not null on or order outer primary references right rollback select set table then union unique update values view when where with ADD ALL ALTER AND AS ASC BEGIN BETWEEN BY CASE CHECK COLUMN COMMIT CONSTRAINT CREATE DEFAULT DELETE DESC DISTINCT DROP ELSE END EXISTS FOREIGN FROM GROUP HAVING IN INDEX INNER INSERT INTO IS JOIN KEY LEFT LIKE LIMIT NOT NULL ON OR ORDER OUTER PRIMARY REFERENCES RIGHT ROLLBACK SELECT SET TABLE THEN UNION UNIQUE UPDATE VALUES VIEW WHEN WHERE WITH",
  data: "true false null yes no on off",
  none: "",
};

const SLASHES = /\/\/.*|\/\*.*?(?:\*\/|$)|^\s*\*(?:\s.*|\/.*)?$/;
const HASH = /(?:^|(?<=\s))#.*/;
const DASHES = /--.*/;

/** Extension or file name, to words and comments. */
const LANGUAGES = new Map();
for (const [names, words, comment] of [
  ["c h cc cpp cxx hpp hh cs swift m mm dart zig", "c", SLASHES],
  ["java kt kts scala groovy gradle", "java", SLASHES],
  ["js jsx mjs cjs ts tsx mts cts vue svelte", "js", SLASHES],
  ["go", "go", SLASHES],
  ["rs", "rust", SLASHES],
  ["proto css scss less", "c", SLASHES],
  ["php", "php", SLASHES],
  ["py pyi", "python", HASH],
  ["rb rake gemfile", "ruby", HASH],
  ["sh bash zsh fish dockerfile makefile mk", "shell", HASH],
  ["toml yaml yml ini cfg conf env properties", "data", HASH],
  ["json jsonc json5", "data", SLASHES],
  ["sql", "sql", DASHES],
]) {
  for (const name of names.split(" ")) LANGUAGES.set(name, { words: new Set(WORDS[words].split(" ")), comment });
}

/** Returns the language of a path, or null for plain text. */
export function languageOf(path) {
  const name = String(path ?? "")
    .split("/")
    .pop()
    .toLowerCase();
  const ending = name.includes(".") ? name.split(".").pop() : name;
  return LANGUAGES.get(ending) ?? LANGUAGES.get(name) ?? null;
}

const STRING = /"(?:[^"\\]|\\.)*(?:"|$)|'(?:[^'\\]|\\.)*(?:'|$)|`(?:[^`\\]|\\.)*(?:`|$)/;
const PATTERNS = new Map();

function patternFor(language) {
  let pattern = PATTERNS.get(language);
  if (!pattern) {
    const parts = [STRING.source, language.comment.source, "\\b\\d[\\w.]*\\b", "[A-Za-z_$][\\w$]*"];
    pattern = new RegExp(parts.map((part) => `(${part})`).join("|"), "g");
    PATTERNS.set(language, pattern);
  }
  return pattern;
}

/** Makes nodes of a line that is already `visible`. */
export function codeNodes(line, language) {
  if (!language || line.length > MAX_LINE) return [document.createTextNode(line)];
  const nodes = [];
  let last = 0;
  for (const match of line.matchAll(patternFor(language))) {
    const kind = kindOf(match, line, language);
    if (!kind) continue;
    if (match.index > last) nodes.push(document.createTextNode(line.slice(last, match.index)));
    nodes.push(element("span", { class: `code-${kind}` }, match[0]));
    last = match.index + match[0].length;
  }
  if (last < line.length) nodes.push(document.createTextNode(line.slice(last)));
  return nodes;
}

function kindOf(match, line, language) {
  if (match[1] !== undefined) return "string";
  if (match[2] !== undefined) return "comment";
  if (match[3] !== undefined) return "number";
  if (language.words.has(match[4])) return "word";
  return line[match.index + match[0].length] === "(" ? "call" : null;
}
