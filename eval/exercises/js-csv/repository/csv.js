/** Returns the rows of comma-separated values, each an array of texts. */
export function parse(text) {
  if (text === "") return [];
  return text.replace(/\n$/, "").split("\n").map((line) => line.split(","));
}
