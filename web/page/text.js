// Texts of models and repositories, made harmless to read.
//
// Text can't act here, but it can deceive: characters that turn the direction of reading make code look
// like other code, and escape sequences hide. Both become visible marks instead of vanishing, so that a
// reviewer sees that something was there.

// Marks, embeddings, overrides and isolates of direction; invisible joiners that hide in names.
const DECEIVING = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
// Controls but tab and new line.
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

/** Makes text of anybody readable as what it is. */
export function visible(text) {
  return String(text ?? "")
    .replace(/\r\n/g, "\n")
    .replace(DECEIVING, (character) => `⟦U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟧`)
    .replace(CONTROLS, (character) => {
      const code = character.codePointAt(0);
      if (code < 0x20) return String.fromCodePoint(0x2400 + code);
      return code === 0x7f ? "\u2421" : `⟦U+${code.toString(16).toUpperCase().padStart(4, "0")}⟧`;
    });
}

/** As `visible`, for prose: sequences that would colour a terminal are left out. */
export function prose(text) {
  return visible(String(text ?? "").replace(ESCAPES, ""));
}

/** Cuts a text for a line, at a character and not inside one. */
export function shortened(text, most) {
  const flat = prose(text).replace(/\s+/g, " ").trim();
  if (flat.length <= most) return flat;
  return `${Array.from(flat.slice(0, most)).slice(0, -1).join("").trimEnd()}…`;
}

/** Returns an address that a link may have: http or https, else null. */
export function linkAddress(text) {
  try {
    const url = new URL(String(text));
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
