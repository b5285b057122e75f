// The bar at the top: the theme, and leaving.

import { button, element, fill, icon } from "./element.js";
import { tokenStore } from "./gateway.js";

const THEMES = [
  ["system", "system", "Theme: as the system"],
  ["light", "sun", "Theme: light"],
  ["dark", "moon", "Theme: dark"],
];

/** Draws the bar's actions. */
export function drawTopBar(node, info) {
  fill(
    node,
    info && element("span", { class: "top-version" }, `v${info.version}`),
    themeButton(),
    tokenStore.read() !== null && button([icon("key"), "Sign out"], signOut, { class: "button-small button-quiet" }),
  );
}

function themeButton() {
  const node = button(
    "",
    () => {
      const at = THEMES.findIndex(([name]) => name === theme());
      setTheme(THEMES[(at + 1) % THEMES.length][0]);
      draw();
    },
    { class: "button-quiet button-icon" },
  );
  const draw = () => {
    const [, sign, label] = THEMES.find(([name]) => name === theme());
    fill(node, icon(sign));
    node.setAttribute("aria-label", label);
    node.title = label;
  };
  draw();
  return node;
}

function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("backspace.theme", name);
  } catch {
    // It lasts for this tab then.
  }
}

function signOut() {
  tokenStore.clear();
  location.assign("/");
}
