// Modal dialogs, by the browser's own `dialog`: it keeps the focus, and Escape closes it.

import { button, element, icon } from "./element.js";

/** Opens a dialog; `build` gets a function that closes it with a value. Settles with that value, or null. */
export function openDialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const titleId = `dialog-${Math.random().toString(36).slice(2)}`;
    const dialog = element("dialog", { "aria-labelledby": titleId, class: wide ? "dialog dialog-wide" : "dialog" });
    const close = (value) => {
      dialog.returned = value;
      dialog.close();
    };
    dialog.append(
      element(
        "div",
        { class: "dialog-head" },
        element("h2", { id: titleId }, title),
        button(icon("cross"), () => close(null), { class: "button-quiet button-icon", "aria-label": "Close" }),
      ),
      build(close),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returned ?? null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
