// Makes elements. The only way by which this page makes any.
//
// There is no way to pass markup: children are nodes, or texts that stay texts. Attribute names are this
// page's own words, never data.

/** Makes an element with attributes, listeners (`on`), data (`data`) and children. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Replaces an element's content. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return node;
}

/** Makes a button. */
export function button(label, onClick, attributes = {}) {
  return element("button", { type: "button", ...attributes, on: { click: onClick } }, label);
}

const SVG = "http://www.w3.org/2000/svg";

/** Paths on a grid of 16, drawn with a line of 1.5. */
const ICONS = {
  plus: "M8 3v10M3 8h10",
  sun: "M8 5.2a2.800 2.800 0 1 1 0 5.600 2.800 2.800 0 0 1 0-5.600ZM8 1.500v1.200M8 13.300v1.200M1.500 8h1.200M13.300 8h1.200M3.400 3.400l.85.85M11.750 11.750l.85.85M3.400 12.600l.85-.85M11.750 4.250l.85-.85",
  moon: "M13 9.500A5.500 5.500 0 0 1 6.500 3a5.500 5.500 0 1 0 6.500 6.500Z",
  system: "M2.500 3.500h11v7.500h-11zM6 13.500h4M8 11v2.500",
  check: "m3 8.500 3.300 3.300L13 4.800",
  cross: "m4 4 8 8M12 4l-8 8",
  dash: "M4 8h8",
  dot: "M8 6.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3Z",
  ring: "M8 3a5 5 0 1 1 0 10A5 5 0 0 1 8 3Z",
  terminal: "m3 4.500 3.500 3.500L3 11.500M8.500 12H13",
  file: "M4 2h5l3 3v9H4zM9 2v3h3",
  pencil: "m3 13 .6-2.800L10.700 3l2.300 2.300-7.200 7.200z",
  search: "M7 2.500a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9ZM10.300 10.300l3.200 3.200",
  list: "M6 4h7.500M6 8h7.500M6 12h7.500M2.800 4h.4M2.800 8h.4M2.800 12h.4",
  flag: "M4 14V2.500h8.500L10.500 6l2 3.500H4",
  shield: "M8 1.800 13 3.600v4c0 3.200-2.200 5.500-5 6.600-2.800-1.100-5-3.400-5-6.600v-4z",
  warning: "M8 2.300 14.300 13.300H1.700zM8 6.500v3M8 11.400v.1",
  person:
    "M8 2.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5ZM3 13.500c.4-2.900 2.400-4.400 5-4.400s4.600 1.500 5 4.400",
  merge:
    "M4.500 5.500v5M4.500 2.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3ZM4.500 10.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3ZM11.500 10.500a1.500 1.500 0 1 1 0 3 1.500 1.500 0 0 1 0-3ZM11.500 10.500V7a2 2 0 0 0-2-2H8",
  copy: "M5.500 5.500h7.500v7.500H5.500zM3 10.500V3h7.500",
  stop: "M4 4h8v8H4z",
  back: "M9.500 3.500 5 8l4.500 4.500",
  next: "M6.500 3.500 11 8l-4.500 4.500",
  retry: "M12.800 8A4.800 4.800 0 1 1 11.300 4.500M11.500 2v2.700H8.800",
  key: "M10.500 2.500a3 3 0 1 1 0 6 3 3 0 0 1 0-6ZM8.300 7.700 3 13v.5h2v-1.500h1.500V10.500",
  external: "M9.500 3H13v3.500M13 3 7.500 8.500M11.500 9.500V13H3V4.500h3.500",
};

/** Makes an icon. It says nothing to a screen reader: a text beside it, or a label, must. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.dot);
  svg.append(path);
  return svg;
}
