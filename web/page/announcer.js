// What a screen reader is told, and how little: phases, ends and refusals, never streamed text.

/** Says a sentence. */
export function announce(sentence) {
  const node = document.getElementById("announcer");
  if (node) node.textContent = sentence;
}
