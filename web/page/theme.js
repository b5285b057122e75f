// The theme that the reader chose, set before anything is drawn.
//
// A classic script of its own in the head, because modules run after the first paint and a page that
// flashes white in a dark room is worse than one small request.
"use strict";
(() => {
  let theme = null;
  try {
    theme = localStorage.getItem("backspace.theme");
  } catch {
    // Storage may be forbidden; the system's theme it is.
  }
  if (theme === "light" || theme === "dark") {
    document.documentElement.dataset.theme = theme;
  }
})();
