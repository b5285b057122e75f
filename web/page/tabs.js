// Tabs, by the pattern that screen readers know: arrows move, one tab stop.

import { element } from "./element.js";

export class Tabs {
  /** `panels` are `[name, label, node]`; `onShow` gets the name. */
  constructor(panels, onShow) {
    this.panels = panels;
    this.onShow = onShow;
    this.tabs = panels.map(([name, label, node]) => {
      node.id = `panel-${name}`;
      node.setAttribute("role", "tabpanel");
      node.setAttribute("aria-labelledby", `tab-${name}`);
      return element(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          class: "tab",
          "aria-controls": node.id,
          on: { click: () => this.show(name) },
        },
        label,
      );
    });
    this.node = element(
      "div",
      {
        class: "tabs",
        role: "tablist",
        "aria-label": "Views of the task",
        on: { keydown: (event) => this.onKey(event) },
      },
      this.tabs,
    );
    this.show(panels[0][0]);
  }

  show(name) {
    this.shown = name;
    this.panels.forEach(([other, , node], index) => {
      const isShown = other === name;
      node.hidden = !isShown;
      this.tabs[index].setAttribute("aria-selected", String(isShown));
      this.tabs[index].tabIndex = isShown ? 0 : -1;
    });
    this.onShow?.(name);
  }

  /** Puts a count beside a label. */
  mark(name, text) {
    const index = this.panels.findIndex(([other]) => other === name);
    const tab = this.tabs[index];
    tab.replaceChildren(this.panels[index][1]);
    if (text) tab.append(" ", element("span", { class: "tab-count" }, text));
  }

  onKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = this.panels.findIndex(([name]) => name === this.shown);
    const to = (at + step + this.panels.length) % this.panels.length;
    this.show(this.panels[to][0]);
    this.tabs[to].focus();
  }
}
