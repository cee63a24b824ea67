// Elements, icons, and figures in words.

/** @import { Child, Children, Properties, State, Usage } from "./types.js" */

/**
 * @param {Child} child
 * @returns {child is Node | string}
 */
const isShown = (child) => Boolean(child);

/**
 * Make an element. All text goes through text nodes: a trace cannot add markup.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {Children} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (typeof value === "object")
      for (const [property, text] of Object.entries(value))
        element.style.setProperty(property, text);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter(isShown));
  return element;
}

// Drawn on a field of 16 by 16, by lines.
const ICONS = {
  CHAT_MODEL: "M2.5 3h11v7.5H8L5 13.2v-2.7H2.5zM5.3 6h5.4M5.3 8h3.4",
  LLM: "M8 2l1.4 4.6L14 8l-4.6 1.4L8 14l-1.4-4.6L2 8l4.6-1.4z",
  EMBEDDING: "M3 3h3v3H3zM10 3h3v3h-3zM3 10h3v3H3zM10 10h3v3h-3zM6 4.5h4M6 11.5h4M4.5 6v4M11.5 6v4",
  AGENT: "M3 6.2h10v6.6H3zM8 6V3.4M8 2.2v1.2M6.1 9v1.2M9.9 9v1.2",
  WORKFLOW: "M2.5 2.5h4v4h-4zM9.5 9.5h4v4h-4zM4.5 6.5v5h5",
  CHAIN: "M2.5 6h4v4h-4zM9.5 6h4v4h-4zM6.5 8h3",
  TASK: "M3 3h10v10H3zM5.4 8l2 2 3.4-4",
  TOOL:
    "M13.2 4.9a3.4 3.4 0 0 1-4.4 3.9l-4.6 4.6a1.3 1.3 0 0 1-1.8-1.8L7 7" +
    "a3.4 3.4 0 0 1 4-4.3L8.9 4.8l.4 1.7 1.7.4z",
  RETRIEVER: "M6.8 2.6a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4zM9.9 9.9l3.6 3.6",
  RERANKER: "M2.5 4h11M2.5 8h7.5M2.5 12h4",
  MEMORY:
    "M3 4.3c0-2.3 10-2.3 10 0s-10 2.3-10 0zM3 4.3v7.4c0 2.3 10 2.3 10 0V4.3M3 8c0 2.3 10 2.3 10 0",
  PARSER:
    "M6 2.5c-2.8 0 0 5-3.2 5.5C6 8.5 3.2 13.5 6 13.5M10 2.5c2.8 0 0 5 3.2 5.5-3.2.5-.4 5.5-3.2 5.5",
  GUARDRAIL: "M8 2l5 1.8v4c0 3-2.2 5-5 6.2-2.8-1.2-5-3.2-5-6.2v-4z",
  EVALUATOR: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM5.5 8l2 2 3.2-4",
  UNKNOWN: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  good:
    "M5.2 7L7.6 2.5c1 0 1.6.8 1.4 1.8L8.5 6.5h3.7c.8 0 1.4.8 1.2 1.6l-.9 4" +
    "c-.2.6-.6.9-1.2.9H5.2zM2.5 7h2.7v6H2.5z",
  bad:
    "M10.8 9L8.4 13.5c-1 0-1.6-.8-1.4-1.8l.5-2.2H3.8c-.8 0-1.4-.8-1.2-1.6l.9-4" +
    "c.2-.6.6-.9 1.2-.9h6.1zM13.5 9h-2.7V3h2.7z",
  error: "M8 2.3l6.2 11H1.8zM8 6.3v3.4M8 11.3v.7",
  copy: "M5.5 5.5h7.5v8H5.5zM10.5 5.5v-3H3v8h2.5",
  search: "M6.8 2.6a4.2 4.2 0 1 0 0 8.4 4.2 4.2 0 0 0 0-8.4zM9.9 9.9l3.6 3.6",
};

/** @param {string} name A type of span, or another key of `ICONS`. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[/** @type {keyof typeof ICONS} */ (name)] ?? ICONS.UNKNOWN);
  svg.append(path);
  return svg;
}

/** @param {number} count */
export const number = (count) => count.toLocaleString("en-US");

// The words of `spanlog.display.outline`.
/** @param {number} ns */
export function duration(ns) {
  if (ns < 999_500) return `${Math.max(ns / 1e3, 0).toFixed(0)} µs`;
  if (ns < 999_500_000) return `${(ns / 1e6).toFixed(0)} ms`;
  if (ns < 59_995_000_000) return `${(ns / 1e9).toFixed(2)} s`;
  const seconds = Math.round(ns / 1e9);
  const minutes = Math.floor(seconds / 60) % 60;
  const hours = Math.floor(seconds / 3600);
  return hours ? `${hours} h ${minutes} m` : `${minutes} m ${seconds % 60} s`;
}

/** @param {Usage | null | undefined} usage */
export function tokens(usage) {
  if (!usage) return "";
  const { input_tokens = 0, output_tokens = 0, cache_read_input_tokens: cached } = usage;
  const input = `${number(input_tokens)} in${cached ? ` (${number(cached)} cached)` : ""}`;
  return `${input} / ${number(output_tokens)} out`;
}

/** @param {Usage | null | undefined} usage */
export const tokensShort = (usage) =>
  usage ? `${number(usage.input_tokens ?? 0)} → ${number(usage.output_tokens ?? 0)}` : "";

/** @param {number | null | undefined} dollars */
export function money(dollars) {
  if (dollars == null) return "";
  if (dollars > 0 && dollars < 0.0001) return "<$0.0001";
  return `$${dollars >= 0.995 ? dollars.toFixed(2) : dollars.toFixed(4)}`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 999_500 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number} ms Since 1970. */
export function moment(ms) {
  const at = new Date(ms);
  /** @param {number} n */
  const two = (n) => String(n).padStart(2, "0");
  const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
  return `${day} ${[at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":")}`;
}

/** @type {Record<State, string>} */
export const STATES = {
  OK: "OK",
  ERROR: "ERROR",
  IN_PROGRESS: "running",
  INTERRUPTED: "interrupted",
  STATE_UNSPECIFIED: "",
};

/** @param {() => string | Promise<string>} text */
export function copyButton(text) {
  const button = h("button", { class: "copy", title: "Copy", "aria-label": "Copy" }, icon("copy"));
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    event.stopPropagation();
    await navigator.clipboard?.writeText(await text());
    button.classList.add("done");
    setTimeout(() => button.classList.remove("done"), 1000);
  });
  return button;
}
