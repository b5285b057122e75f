// A model's Markdown as headings, lists, code and emphasis; everything else stays the text it is.
//
// No links and no pictures on purpose: a model writes what a repository told it to, and a link is an
// invitation to click. Addresses are shown, and can be copied.

import { element } from "./element.js";
import { codeNodes, languageOf } from "./highlight.js";
import { prose } from "./text.js";

const INLINE = /(`{1,3})([^`\n]+?)\1|\*\*([^*\n]+?)\*\*|__([^_\n]+?)__|(?<![\w*])\*([^*\s][^*\n]*?)\*(?![\w*])/g;
const MAX_BLOCKS = 2000;

/** Makes nodes of a Markdown text. */
export function markdownNodes(text) {
  const lines = prose(text).split("\n");
  const blocks = [];
  let index = 0;
  while (index < lines.length && blocks.length < MAX_BLOCKS) {
    const line = lines[index];
    const fence = line.match(/^\s*(```+|~~~+)\s*([\w+#.-]*)/);
    if (fence) {
      const end = lines.findIndex((other, at) => at > index && other.trim().startsWith(fence[1]));
      const stop = end < 0 ? lines.length : end;
      blocks.push(codeBlock(lines.slice(index + 1, stop), fence[2]));
      index = stop + 1;
    } else if (line.trim() === "") {
      index += 1;
    } else {
      index = block(lines, index, blocks);
    }
  }
  if (index < lines.length) blocks.push(element("p", {}, lines.slice(index).join("\n")));
  return blocks;
}

function block(lines, index, blocks) {
  const heading = lines[index].match(/^(#{1,6})\s+(.*)$/);
  if (heading) {
    blocks.push(element("p", { class: "md-heading" }, inlineNodes(heading[2])));
    return index + 1;
  }
  const bullet = /^\s*(?:[-*+]|\d{1,3}[.)])\s+/;
  if (bullet.test(lines[index])) {
    const isOrdered = /^\s*\d/.test(lines[index]);
    const items = [];
    while (index < lines.length && lines[index].trim() !== "" && !lines[index].trim().startsWith("```")) {
      if (bullet.test(lines[index])) items.push(lines[index].replace(bullet, ""));
      else items[items.length - 1] += ` ${lines[index].trim()}`;
      index += 1;
    }
    blocks.push(
      element(
        isOrdered ? "ol" : "ul",
        {},
        items.map((item) => element("li", {}, inlineNodes(item))),
      ),
    );
    return index;
  }
  const start = index;
  const ends = (line) => line.trim() === "" || /^(#{1,6}\s|\s*(```|~~~))/.test(line) || bullet.test(line);
  index += 1;
  while (index < lines.length && !ends(lines[index])) index += 1;
  blocks.push(element("p", {}, inlineNodes(lines.slice(start, index).join("\n"))));
  return index;
}

function codeBlock(lines, name) {
  const language = languageOf(
    `x.${{ rust: "rs", python: "py", javascript: "js", typescript: "ts", bash: "sh", shell: "sh" }[name] ?? name}`,
  );
  const code = element("code");
  for (const line of lines) code.append(...codeNodes(line, language), "\n");
  return element("pre", { class: "code-block", tabindex: "0" }, code);
}

function inlineNodes(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > last) nodes.push(text.slice(last, match.index));
    if (match[2] !== undefined) nodes.push(element("code", {}, match[2]));
    else if (match[3] !== undefined || match[4] !== undefined) nodes.push(element("strong", {}, match[3] ?? match[4]));
    else nodes.push(element("em", {}, match[5]));
    last = match.index + match[0].length;
  }
  if (last < text.length) nodes.push(text.slice(last));
  return nodes;
}
