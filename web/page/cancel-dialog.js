// Asks before a Task is cancelled, and why.

import { openDialog } from "./dialog.js";
import { button, element } from "./element.js";

/** Cancels a Task if its reader means it. */
export function askToCancel(gateway, id) {
  return openDialog("Cancel this task?", (close) => {
    const reason = element("input", { id: "cancel-reason", type: "text", maxlength: "500", autocomplete: "off" });
    const error = element("p", { class: "form-error", role: "alert", hidden: true });
    const yes = button("Cancel the task", undefined, { type: "submit", class: "button-danger" });
    const form = element(
      "form",
      { class: "form", method: "dialog" },
      element("p", {}, "It stops as soon as it can. The change so far is kept as a patch, and nothing is pushed."),
      element("div", { class: "field" }, element("label", { for: "cancel-reason" }, "Why (optional)"), reason),
      error,
      element(
        "div",
        { class: "form-actions" },
        button("Keep it running", () => close(null)),
        yes,
      ),
    );
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      yes.disabled = true;
      try {
        close(await gateway.cancelTask(id, reason.value.trim()));
      } catch (failure) {
        error.textContent = failure.message;
        error.hidden = false;
        yes.disabled = false;
      }
    });
    return form;
  });
}
