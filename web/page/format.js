// Numbers, spans and moments for people. The wire has 64-bit numbers and spans as text.

/** Reads a span such as `1.25s` as seconds. */
export function seconds(span) {
  const value = Number.parseFloat(String(span ?? ""));
  return Number.isFinite(value) ? value : 0;
}

/** Says how long something took. */
export function duration(spanSeconds) {
  const value = Math.max(0, spanSeconds);
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.floor(value)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(value % 60)).padStart(2, "0")} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

/** Says a count of tokens or bytes in short. */
export function count(number) {
  const value = Number(number ?? 0);
  if (value < 1000) return String(value);
  if (value < 100_000) return `${(value / 1000).toFixed(1)}k`;
  if (value < 1_000_000) return `${Math.round(value / 1000)}k`;
  return `${(value / 1_000_000).toFixed(2)}M`;
}

/** Says a number of bytes. */
export function bytes(number) {
  const value = Number(number ?? 0);
  if (value < 1024) return `${value} B`;
  if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KiB`;
  return `${(value / 1024 / 1024).toFixed(1)} MiB`;
}

/** Says an amount in millionths of a US dollar; a text when its price is unknown. */
export function money(microUsd) {
  if (microUsd === undefined || microUsd === null) return "unknown";
  const value = Number(microUsd) / 1_000_000;
  if (value === 0) return "$0";
  return value < 0.01 ? `$${value.toFixed(4)}` : `$${value.toFixed(2)}`;
}

/** Says how long ago a moment was. */
export function ago(moment, now = Date.now()) {
  const past = Math.max(0, (now - Date.parse(moment)) / 1000);
  if (past < 45) return "just now";
  if (past < 3600) return `${Math.max(1, Math.round(past / 60))} min ago`;
  if (past < 86_400) return `${Math.round(past / 3600)} h ago`;
  if (past < 86_400 * 30) return `${Math.round(past / 86_400)} d ago`;
  return new Date(moment).toLocaleDateString();
}

/** Says a moment in full. */
export function moment(text) {
  return text ? new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
}

/** Says the time of day. */
export function clock(text) {
  return text ? new Date(text).toLocaleTimeString([], { hour12: false }) : "";
}

/** Says a number with its noun. */
export function plural(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** Names a repository as a person would. */
export function repositoryName(url) {
  const parts = String(url ?? "")
    .replace(/\.git$/, "")
    .split(/[/:]/)
    .filter(Boolean);
  return parts.slice(-2).join("/") || String(url ?? "");
}
