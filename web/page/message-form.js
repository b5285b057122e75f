// A message into a Task: read before its next turn, or, once it has ended, the start of a Task that goes on.

import { announce } from "./announcer.js";
import { button, element } from "./element.js";
import { requestId } from "./gateway.js";

export class MessageForm {
  /** `onSent` gets the Task that will act on the message. */
  constructor(gateway, id, onSent) {
    this.gateway = gateway;
    this.id = id;
    this.onSent = onSent;
    this.messageId = requestId();
    this.label = element("label", { for: "message" });
    this.text = element("textarea", {
      id: "message",
      rows: "1",
      maxlength: "32768",
      "aria-describedby": "message-error",
      on: { input: () => this.grow(), keydown: (event) => this.onKey(event) },
    });
    this.comments = element("input", { type: "checkbox", id: "message-comments" });
    this.commentsRow = element(
      "div",
      { class: "field-check", hidden: true },
      this.comments,
      element("label", { for: "message-comments" }, "Add the open review comments of its pull request"),
    );
    this.send = button("Send", undefined, { type: "submit", class: "button-primary" });
    this.error = element("p", { class: "form-error", id: "message-error", role: "alert", hidden: true });
    this.node = element(
      "form",
      { class: "message-form" },
      this.label,
      element("div", { class: "message-row" }, this.text, this.send),
      this.commentsRow,
      this.error,
    );
    this.node.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  update(log) {
    const isOver = log.isOver();
    this.node.classList.toggle("is-over", isOver);
    this.label.textContent = isOver ? "Go on from here, in a new task" : "Send a message";
    this.text.placeholder = isOver ? "What is next?" : "Read before the next turn";
    this.send.textContent = isOver ? "Continue" : "Send";
    this.commentsRow.hidden = !(isOver && log.task?.result?.pullRequest);
  }

  grow() {
    this.text.style.height = "auto";
    this.text.style.height = `${Math.min(this.text.scrollHeight + 2, 200)}px`;
  }

  onKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.node.requestSubmit();
  }

  async submit() {
    const text = this.text.value.trim();
    const comments = !this.commentsRow.hidden && this.comments.checked ? "with-review-comments" : "text-only";
    if (!text && comments === "text-only") {
      this.text.focus();
      return;
    }
    this.send.disabled = true;
    this.error.hidden = true;
    try {
      const task = await this.gateway.sendMessage(this.id, text, comments, this.messageId);
      this.messageId = requestId();
      this.text.value = "";
      this.comments.checked = false;
      this.grow();
      announce("The message was sent");
      this.onSent(task);
    } catch (error) {
      // As for a new task: another text needs another id once this one was refused.
      if (error.status >= 400 && error.status < 500) this.messageId = requestId();
      this.error.textContent = error.message;
      this.error.hidden = false;
    } finally {
      this.send.disabled = false;
    }
  }
}
