// Copies text, also where the page is not in a secure context and the browser has no clipboard for it.

import { announce } from "./announcer.js";
import { button, element, fill, icon } from "./element.js";

async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  const area = element("textarea", { class: "visually-hidden", readonly: true });
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not copy");
}

/** Makes a button that copies what `text()` returns. */
export function copyButton(text, label = "Copy") {
  const face = () => [icon("copy"), label];
  const node = button(
    "",
    async () => {
      try {
        await copy(text());
        fill(node, icon("check"), "Copied");
        announce("Copied");
      } catch {
        fill(node, icon("warning"), "Select and copy it");
      }
      setTimeout(() => fill(node, ...face()), 1500);
    },
    { class: "button-small" },
  );
  return fill(node, ...face());
}
