// Asks for the server's token, once for all calls that wait for it.

import { openDialog } from "./dialog.js";
import { button, element } from "./element.js";
import { tokenStore } from "./gateway.js";

let open = null;

/** Settles once a token was entered. A reader who closes the dialog gets the refusal as it was. */
export function askForToken(refusal, wasSent) {
  open ??= show(wasSent)
    .then((entered) => {
      if (!entered) throw refusal;
      tokenStore.write(entered.token, entered.place);
      document.dispatchEvent(new Event("backspace-token"));
    })
    .finally(() => {
      open = null;
    });
  return open;
}

function show(wasSent) {
  return openDialog("This server asks who you are", (close) => {
    const token = element("input", {
      id: "token",
      type: "password",
      autocomplete: "current-password",
      required: true,
      autofocus: true,
      spellcheck: "false",
    });
    const keep = element("input", { id: "token-keep", type: "checkbox" });
    const form = element(
      "form",
      { class: "form", method: "dialog" },
      wasSent && element("p", { class: "form-error", role: "alert" }, "The server does not know that token."),
      element("div", { class: "field" }, element("label", { for: "token" }, "Access token"), token),
      element(
        "div",
        { class: "field-check" },
        keep,
        element("label", { for: "token-keep" }, "Keep it in this browser"),
      ),
      element(
        "p",
        { class: "hint" },
        "Without the tick it is forgotten with this tab. It is sent to this server only.",
      ),
      element(
        "div",
        { class: "form-actions" },
        button("Continue", undefined, { type: "submit", class: "button-primary" }),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = token.value.trim();
      if (value) close({ token: value, place: keep.checked ? "browser" : "tab" });
    });
    return form;
  });
}
