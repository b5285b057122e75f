// The page: which view is shown for which path, and what all views share.

import { Composer } from "./composer.js";
import { element, fill } from "./element.js";
import { Gateway } from "./gateway.js";
import { History } from "./history.js";
import { TaskView } from "./task-view.js";
import { askForToken } from "./token-dialog.js";
import { drawTopBar } from "./top-bar.js";

const main = document.getElementById("main");
const shell = document.getElementById("shell");

const app = {
  gateway: new Gateway(askForToken),
  info: null,
  repositories: [],
  view: null,

  /** Goes to another path of this page. */
  go(path) {
    if (path !== location.pathname) history.pushState(null, "", path);
    show("moved");
  },

  /** Opens the form, filled with a spec. */
  compose(spec) {
    history.pushState(null, "", "/");
    show("moved", spec);
  },

  noticeTask(task) {
    tasks.notice(task);
  },

  noticeRepositories(urls) {
    const known = new Set([...this.repositories, ...urls.filter(Boolean)]);
    if (known.size === this.repositories.length) return;
    this.repositories = Array.from(known).slice(0, 50);
    this.view?.drawServer?.();
  },
};

const tasks = new History(app, document.getElementById("history"));

/** Shows what the path names. The focus goes to its heading when the reader has moved there. */
function show(how, spec = null) {
  app.view?.close?.();
  const id = location.pathname.match(/^\/tasks\/([^/]+)$/)?.[1];
  shell.dataset.view = id ? "task" : "home";
  if (id) {
    app.view = new TaskView(app, decoded(id));
    app.view.open();
  } else {
    app.view = new Composer(app, spec);
    document.title = "Backspace";
  }
  tasks.setCurrent(id ? decoded(id) : null);
  fill(main, app.view.node);
  if (how === "moved") {
    window.scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function start() {
  show("loaded");
  drawTopBar(document.getElementById("top-actions"), null);
  try {
    app.info = await app.gateway.serverInfo();
    drawTopBar(document.getElementById("top-actions"), app.info);
    app.view?.drawServer?.();
    await tasks.load();
  } catch (error) {
    if (!app.view?.log)
      main.prepend(element("p", { class: "form-error", role: "alert" }, `The server can’t be asked: ${error.message}`));
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-link]");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  app.go(link.getAttribute("href"));
});
window.addEventListener("popstate", () => show("moved"));
document.addEventListener("backspace-token", () => drawTopBar(document.getElementById("top-actions"), app.info));

start();
