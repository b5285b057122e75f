// Output of commands as a person would have seen it in a terminal, without a terminal's powers.
//
// Colours become classes; every other sequence is left out; a carriage return begins the line again, as
// progress bars expect. What is left goes through `visible`, so that nothing hides.

import { element } from "./element.js";
import { visible } from "./text.js";

// eslint-disable-next-line no-control-regex
const SEQUENCE = /\u001b(?:\[([0-?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[@-Z\\-_])/g;
// More coloured pieces than this are plain text: each is a node.
const MAX_PIECES = 4000;

/** Makes nodes of a text of a command. */
export function terminalNodes(text) {
  const pieces = terminalPieces(rewound(String(text ?? "")));
  if (pieces.length > MAX_PIECES) return [document.createTextNode(pieces.map((piece) => piece.text).join(""))];
  return pieces.map(({ text: shown, classes }) =>
    classes ? element("span", { class: classes }, shown) : document.createTextNode(shown),
  );
}

/** Splits a text into pieces of one colour. */
export function terminalPieces(text) {
  const pieces = [];
  const style = { colour: null, bold: false, dim: false };
  let last = 0;
  const add = (raw) => {
    const shown = visible(raw);
    if (shown === "") return;
    const classes = classesOf(style);
    const previous = pieces.at(-1);
    if (previous && previous.classes === classes) previous.text += shown;
    else pieces.push({ text: shown, classes });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    add(text.slice(last, match.index));
    last = match.index + match[0].length;
    if (match[2] === "m") restyle(style, match[1]);
  }
  add(text.slice(last));
  return pieces;
}

/** Keeps of each line what was written over the rest. */
function rewound(text) {
  if (!text.includes("\r")) return text;
  return text
    .replace(/\r+\n/g, "\n")
    .split("\n")
    .map((line) => line.slice(line.lastIndexOf("\r", line.length - 2) + 1).replace(/\r$/, ""))
    .join("\n");
}

function restyle(style, codes) {
  const list = codes === "" ? [0] : codes.split(/[;:]/).map(Number);
  for (let index = 0; index < list.length; index += 1) {
    const code = list[index];
    if (code === 0) Object.assign(style, { colour: null, bold: false, dim: false });
    else if (code === 1) style.bold = true;
    else if (code === 2) style.dim = true;
    else if (code === 22) Object.assign(style, { bold: false, dim: false });
    else if (code >= 30 && code <= 37) style.colour = code - 30;
    else if (code >= 90 && code <= 97) style.colour = code - 90;
    else if (code === 39) style.colour = null;
    else if (code === 38 || code === 48) index += list[index + 1] === 5 ? 2 : 4;
  }
}

const COLOURS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

function classesOf({ colour, bold, dim }) {
  const classes = [];
  // Black and white are whatever reads well on this ground.
  if (colour !== null && colour !== 0 && colour !== 7) classes.push(`term-${COLOURS[colour]}`);
  if (bold) classes.push("term-bold");
  if (dim) classes.push("term-dim");
  return classes.join(" ");
}
