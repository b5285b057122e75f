// The form that starts a Task.

import { button, element, fill } from "./element.js";
import { requestId } from "./gateway.js";
import { visible } from "./text.js";

/** Proto paths, to the fields that have them. */
const FIELD_PATHS = [
  ["spec.instruction", "instruction"],
  ["spec.repository.url", "repository"],
  ["spec.repository.branch", "base"],
  ["spec.model", "model"],
  ["spec.publication.mode", "publish"],
  ["spec.publication.head_branch", "head"],
  ["spec.issue", "issue"],
  ["spec.verification_commands", "verify"],
  ["spec.limits.max_turns", "turns"],
  ["spec.limits.max_duration", "minutes"],
  ["spec.limits.max_cost_micro_usd", "cost"],
];

export class Composer {
  /** `app` has `gateway`, `info` and `go(path)`; `spec` fills the form. */
  constructor(app, spec = null) {
    this.app = app;
    this.taskId = requestId();
    this.inputs = {};
    this.errors = {};
    this.error = element("div", { class: "form-error", role: "alert", hidden: true });
    this.start = button("Start the task", undefined, { type: "submit", class: "button-primary" });
    this.models = element("select", { id: "field-model" });
    this.known = element("datalist", { id: "known-repositories" });
    this.lacks = element("div", { class: "lacks" });
    this.form = this.buildForm();
    this.node = element(
      "section",
      { class: "composer", "aria-labelledby": "composer-title" },
      element("h1", { id: "composer-title", tabindex: "-1" }, "New task"),
      this.lacks,
      this.form,
    );
    this.drawServer();
    if (spec) this.prefill(spec);
    else this.inputs.repository.value = lastRepository();
  }

  buildForm() {
    const form = element(
      "form",
      { class: "form", novalidate: true },
      this.field(
        "repository",
        "Repository",
        element("input", {
          type: "text",
          list: "known-repositories",
          required: true,
          autocomplete: "off",
          spellcheck: "false",
          placeholder: "https://github.com/owner/name",
        }),
      ),
      this.known,
      this.field(
        "instruction",
        "What should be done?",
        element("textarea", {
          rows: "5",
          required: true,
          maxlength: "32768",
          placeholder: "Add input validation to all POST endpoints, with tests.",
        }),
      ),
      element(
        "div",
        { class: "form-pair" },
        this.field("model", "Model", this.models),
        this.field("publish", "When it is done", publications()),
      ),
      element(
        "details",
        { class: "more" },
        element("summary", {}, "Limits, branches and checks"),
        element(
          "div",
          { class: "more-body" },
          element(
            "div",
            { class: "form-pair" },
            this.field("minutes", "Most minutes", number("2")),
            this.field("turns", "Most turns", number("1")),
          ),
          element(
            "div",
            { class: "form-pair" },
            this.field("cost", "Most US dollars", number("0.01", "0.01")),
            this.field(
              "issue",
              "Issue number",
              element("input", { type: "text", inputmode: "numeric", autocomplete: "off" }),
            ),
          ),
          element(
            "div",
            { class: "form-pair" },
            this.field("base", "Start from branch", text("the default branch")),
            this.field("head", "Branch to create", text("named after the task")),
          ),
          this.field(
            "verify",
            "Commands that prove it, one a line",
            element("textarea", {
              rows: "2",
              spellcheck: "false",
              class: "mono",
              placeholder: "found by analysis when empty",
            }),
          ),
        ),
      ),
      this.error,
      element("div", { class: "form-actions" }, element("span", { class: "hint" }, "Ctrl+Enter starts it"), this.start),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    return form;
  }

  field(name, label, input) {
    input.id = `field-${name}`;
    input.setAttribute("aria-describedby", `error-${name}`);
    this.inputs[name] = input;
    this.errors[name] = element("p", { class: "field-error", id: `error-${name}` });
    return element("div", { class: "field" }, element("label", { for: input.id }, label), input, this.errors[name]);
  }

  /** Shows what the server has; again when it is known. */
  drawServer() {
    const { info, repositories = [] } = this.app;
    const chosen = this.models.value;
    const standard = info?.defaultModel ? `Default (${info.defaultModel})` : "The server’s default";
    fill(
      this.models,
      element("option", { value: "" }, visible(standard)),
      (info?.models ?? []).map((model) => element("option", { value: model }, visible(model))),
    );
    this.models.value = chosen;
    fill(
      this.known,
      repositories.map((url) => element("option", { value: url })),
    );
    const lacks = info?.degraded ?? [];
    fill(
      this.lacks,
      lacks.map((sentence) => element("p", {}, visible(sentence))),
    );
    this.lacks.hidden = lacks.length === 0;
  }

  prefill(spec) {
    const { inputs } = this;
    const model = spec.model ?? "";
    if (model && !Array.from(this.models.options).some((option) => option.value === model))
      this.models.append(element("option", { value: model }, visible(model)));
    const set = (name, value) => (inputs[name].value = value ?? "");
    set("repository", spec.repository?.url);
    set("instruction", spec.instruction);
    set("model", model);
    set("base", spec.repository?.branch);
    set("issue", spec.issue);
    set("verify", (spec.verificationCommands ?? []).join("\n"));
    set("publish", spec.publication?.mode);
  }

  /** Returns the spec as the form has it; empty fields are left to the server. */
  spec() {
    const read = (name) => this.inputs[name].value.trim();
    const spec = { instruction: this.inputs.instruction.value.trim(), repository: { url: read("repository") } };
    if (read("base")) spec.repository.branch = read("base");
    if (read("model")) spec.model = read("model");
    if (read("issue")) spec.issue = read("issue");
    const commands = read("verify")
      .split("\n")
      .map((line) => line.trim())
      .filter(Boolean);
    if (commands.length > 0) spec.verificationCommands = commands;
    const publication = {};
    if (read("publish")) publication.mode = read("publish");
    if (read("head")) publication.headBranch = read("head");
    if (Object.keys(publication).length > 0) spec.publication = publication;
    const limits = {};
    if (read("turns")) limits.maxTurns = Math.round(Number(read("turns")));
    if (read("minutes")) limits.maxDuration = `${Math.round(Number(read("minutes")) * 60)}s`;
    if (read("cost")) limits.maxCostMicroUsd = String(Math.round(Number(read("cost")) * 1_000_000));
    if (Object.keys(limits).length > 0) spec.limits = limits;
    return spec;
  }

  async submit() {
    this.showErrors([]);
    this.start.disabled = true;
    try {
      const spec = this.spec();
      const task = await this.app.gateway.createTask(spec, this.taskId);
      keepRepository(spec.repository.url);
      this.app.noticeTask(task);
      this.app.go(`/${task.name}`);
    } catch (error) {
      // What was refused was not started: another spec needs another id. A failure on the way says nothing of that.
      if (error.status >= 400 && error.status < 500) this.taskId = requestId();
      this.showErrors(error.violations ?? [], error);
    } finally {
      this.start.disabled = false;
    }
  }

  showErrors(violations, failure = null) {
    for (const [name, node] of Object.entries(this.errors)) {
      node.textContent = "";
      this.inputs[name].removeAttribute("aria-invalid");
    }
    const others = [];
    let first = null;
    for (const { field, description } of violations) {
      const name = FIELD_PATHS.find(([path]) => String(field).startsWith(path))?.[1];
      if (!name) {
        others.push(`${field} ${description}`);
        continue;
      }
      this.errors[name].textContent = visible(description);
      this.inputs[name].setAttribute("aria-invalid", "true");
      this.inputs[name].closest("details")?.setAttribute("open", "");
      first ??= this.inputs[name];
    }
    if (failure && violations.length === 0) others.push(failure.message);
    fill(
      this.error,
      others.map((sentence) => element("p", {}, visible(sentence))),
    );
    this.error.hidden = others.length === 0;
    first?.focus();
  }
}

function publications() {
  return element(
    "select",
    {},
    [
      ["", "As the server is set"],
      ["MODE_DRAFT_PULL_REQUEST", "Open a draft pull request"],
      ["MODE_PULL_REQUEST", "Open a pull request"],
      ["MODE_BRANCH_ONLY", "Push a branch only"],
      ["MODE_PATCH_ONLY", "Keep a patch only"],
    ].map(([value, label]) => element("option", { value }, label)),
  );
}

function number(min, step = "1") {
  return element("input", { type: "number", min, step, inputmode: "decimal", placeholder: "the server’s" });
}

function text(placeholder) {
  return element("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder });
}

const LAST = "backspace.repository";

function lastRepository() {
  try {
    return localStorage.getItem(LAST) ?? "";
  } catch {
    return "";
  }
}

function keepRepository(url) {
  try {
    localStorage.setItem(LAST, url);
  } catch {
    // It is a convenience.
  }
}
