// Any data: texts, documents, and JSON as a tree that unfolds.
import { copyButton, h, number } from "./dom.js";

/** @import { Child, Cut, Json, JsonObject, LargeInteger, Loader, More, Path } from "./types.js" */

// What `spanlog.display.data` writes for what was cut.
const CUT = "\u0000cut";
const MORE = "\u0000more";
const NUMBER = "\u0000number";
const BATCH = 100; // items of a list or an object that are drawn at once
const PIECE = 20_000; // characters of a long text that the browser lays out at once
const CLAMPED_LENGTH = 1600; // characters of a text that are shown before "Show more"
const CLAMPED_LINES = 24; // and lines
const SCALAR = 200; // characters of a text in a tree that stand in its line
const UNFOLDED = 600; // characters of a tree that begins unfolded
const BRIEF = 60; // characters, about, that tell what a folded object holds
const BRIEF_ITEM = 40; // characters of one of its items

/**
 * @param {unknown} data
 * @returns {data is object}
 */
const isObject = (data) => data !== null && typeof data === "object";

/**
 * @param {unknown} data
 * @returns {data is Cut}
 */
const isCut = (data) => isObject(data) && CUT in data;

/**
 * @param {unknown} data
 * @returns {data is LargeInteger}
 */
const isLargeInteger = (data) => isObject(data) && NUMBER in data;

/**
 * Is nothing of it left? An object of which some keys are has the mark as its last one.
 *
 * @param {unknown} data
 * @returns {data is More}
 */
const isMore = (data) => isObject(data) && MORE in data && Object.keys(data).length === 1;

/**
 * @param {unknown} data
 * @returns {data is Json[] | JsonObject}
 */
const isContainer = (data) => isObject(data) && !isCut(data) && !isLargeInteger(data);

/**
 * Return data without the mark that it was cut.
 *
 * @template Data
 * @param {Data} data
 * @returns {Exclude<Data, Cut> | string}
 */
export const plain = (data) =>
  isCut(data) ? data[CUT][0] : /** @type {Exclude<Data, Cut>} */ (data);

/**
 * Return a part of what a loader gets.
 *
 * @param {() => Promise<unknown>} whole
 * @param {Path} path
 */
async function uncut(whole, path) {
  return path.reduce((part, key) => part[key], /** @type {any} */ (await whole()));
}

/**
 * @param {string} title
 * @param {Child} body
 * @param {() => Promise<string>} [copied] What the button copies.
 */
export function section(title, body, copied) {
  return h("section", {}, h("h4", {}, title, copied && copyButton(copied)), body);
}

/**
 * Draw what is made only when it is unfolded.
 *
 * @param {Child | Child[]} title
 * @param {() => Node} draw
 * @param {{ open?: boolean }} [options]
 */
export function folded(title, draw, { open = false } = {}) {
  const details = h("details", { class: "more" }, h("summary", {}, title));
  const fill = () => {
    if (details.open && details.children.length === 1) details.append(draw());
  };
  details.addEventListener("toggle", fill);
  if (open) {
    details.open = true;
    fill();
  }
  return details;
}

/**
 * What copying a value copies: the text itself, or JSON.
 *
 * @param {unknown} data
 * @param {Loader} loader
 * @param {Path} path
 */
export function copyOf(data, loader, path) {
  return async () => {
    const whole = loader.whole ? await uncut(loader.whole, path) : data;
    const shown = plain(whole);
    return typeof shown === "string" ? shown : JSON.stringify(whole, readable, 2);
  };
}

/**
 * @param {string} _key
 * @param {unknown} data
 */
function readable(_key, data) {
  if (isCut(data)) return `${data[CUT][0]}…`;
  return isLargeInteger(data) ? data[NUMBER] : data;
}

/** @param {string} whole */
function pieces(whole) {
  const drawn = [];
  for (let start = 0; start < whole.length; ) {
    const line = whole.indexOf("\n", start + PIECE);
    const end = line >= 0 && line < start + 2 * PIECE ? line + 1 : start + PIECE;
    drawn.push(h("div", { class: "piece" }, whole.slice(start, end)));
    start = end;
  }
  return drawn;
}

/**
 * @param {Json | undefined} data
 * @param {Loader} loader
 * @param {Path} path
 * @param {{ mono?: boolean }} [options]
 */
export function text(data, loader, path, { mono = false } = {}) {
  const shown = String(plain(data));
  const block = h("div", { class: mono ? "text mono" : "text" }, shown);
  const box = h("div", { class: "long" }, block);
  if (
    shown.length > CLAMPED_LENGTH ||
    shown.split("\n", CLAMPED_LINES + 2).length > CLAMPED_LINES
  ) {
    const button = h("button", { class: "link" }, "Show more");
    button.addEventListener("click", () => {
      button.textContent = block.classList.toggle("clamped") ? "Show more" : "Show less";
    });
    block.classList.add("clamped");
    box.append(button);
  }
  if (isCut(data)) {
    const { whole } = loader;
    const left = `${number(data[CUT][1] - shown.length)} more characters`;
    const note = h("p", { class: "cut" }, whole ? `${left} ` : `${left} are not kept on this page`);
    if (whole) {
      const button = h("button", { class: "link" }, "Show all");
      button.addEventListener("click", async () => {
        const all = pieces(await uncut(whole, path));
        box.replaceChildren(h("div", { class: mono ? "text mono whole" : "text whole" }, all));
      });
      note.append(button);
    }
    box.append(note);
  }
  return box;
}

/**
 * @param {Json} data
 * @param {Loader} loader
 * @param {Path} path
 */
export function value(data, loader, path) {
  if (typeof plain(data) === "string") return text(data, loader, path);
  if (!areDocuments(data)) return json(data, loader, path);
  return h(
    "div",
    {},
    batches(data, (item, n) => documentOrMore(item, loader, [...path, n])),
  );
}

/**
 * @param {Json} item
 * @returns {item is JsonObject}
 */
const isDocument = (item) => isContainer(item) && "page_content" in item;

/**
 * @param {Json} data
 * @returns {data is JsonObject[]}
 */
const areDocuments = (data) =>
  Array.isArray(data) && data.length > 0 && data.every((item) => isDocument(item) || isMore(item));

// Where a document is from, the best first.
const SOURCES = ["title", "source", "url", "file_name", "file_path"];

/**
 * @param {JsonObject} item
 * @param {Loader} loader
 * @param {Path} path
 */
function documentOrMore(item, loader, path) {
  if (!isDocument(item))
    return h("p", { class: "cut" }, `${number(Number(item[MORE]))} more documents are not shown`);
  const { page_content, metadata, ...rest } = item;
  const facts = {
    ...(isContainer(metadata) ? metadata : { metadata: metadata ?? null }),
    ...rest,
  };
  /** @type {JsonObject} */
  const given = Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact !== null));
  const scores = Object.entries(given).flatMap(([name, fact]) =>
    /score$/.test(name) && typeof fact === "number" ? [`${name} ${fact.toFixed(3)}`] : [],
  );
  const source = SOURCES.map((name) => given[name]).find((fact) => typeof fact === "string");
  const title = source ?? given.id ?? `Document ${Number(path.at(-1)) + 1}`;
  return h(
    "div",
    { class: "document" },
    h("h5", {}, h("b", {}, String(title)), scores[0] && h("span", {}, scores[0])),
    text(page_content ?? "", loader, [...path, "page_content"]),
    Object.keys(given).length > 0 && folded("Metadata", () => json(given, loader, path)),
  );
}

/**
 * Draw many items, a batch at a time.
 *
 * @template Item
 * @param {readonly Item[]} items
 * @param {(item: Item, position: number) => Node} draw
 * @param {number} [batch]
 */
export function batches(items, draw, batch = BATCH) {
  const box = h("div", { class: "batches" });
  let drawn = 0;
  const more = h("button", { class: "link" });
  const next = () => {
    const until = Math.min(drawn + batch, items.length);
    const nodes = items.slice(drawn, until).map((item, n) => draw(item, drawn + n));
    more.remove();
    box.append(...nodes);
    drawn = until;
    if (drawn < items.length) {
      more.textContent = `Show more (${number(items.length - drawn)})`;
      box.append(more);
    }
  };
  more.addEventListener("click", next);
  next();
  return box;
}

/**
 * @param {Json | undefined} data
 * @param {Loader} loader
 * @param {Path} path
 */
export function json(data, loader, path) {
  if (!isContainer(data)) return h("div", { class: "json" }, scalar(data, loader, path));
  if (!entriesOf(data).length) return h("div", { class: "json" }, empty(data));
  const open = weight(data, UNFOLDED) <= UNFOLDED;
  return h("div", { class: "json", role: "group" }, children(data, loader, path, open));
}

/** @param {Json[] | JsonObject} data */
const empty = (data) => (Array.isArray(data) ? "[]" : "{}");

/**
 * @param {Json[] | JsonObject} data
 * @returns {[string | number, Json][]}
 */
function entriesOf(data) {
  return Array.isArray(data) ? data.map((item, n) => [n, item]) : Object.entries(data);
}

/**
 * Return about how many characters a value has; counts no further than a limit.
 *
 * @param {Json} data
 * @param {number} limit
 */
function weight(data, limit) {
  if (!isContainer(data)) return String(plain(data) ?? "null").length + 4;
  let sum = 0;
  for (const [key, item] of entriesOf(data)) {
    sum += String(key).length + 4 + weight(item, limit - sum);
    if (sum > limit) break;
  }
  return sum;
}

/**
 * @param {Json[] | JsonObject} data
 * @param {Loader} loader
 * @param {Path} path
 * @param {boolean} open
 */
function children(data, loader, path, open) {
  return batches(entriesOf(data), ([key, item]) => node(key, item, loader, [...path, key], open));
}

/**
 * @param {string | number} key
 * @param {Json} item
 * @param {Loader} loader
 * @param {Path} path
 * @param {boolean} open
 */
function node(key, item, loader, path, open) {
  if (key === MORE || isMore(item)) {
    const left = Number(isMore(item) ? item[MORE] : item);
    return h("p", { class: "cut" }, `${number(left)} more are not shown`);
  }
  const name = h("span", { class: typeof key === "number" ? "index" : "key" }, String(key));
  if (!isContainer(item)) return h("div", { class: "leaf" }, name, scalar(item, loader, path));
  if (!entriesOf(item).length)
    return h("div", { class: "leaf" }, name, h("span", { class: "brief" }, empty(item)));
  const title = [name, h("span", { class: "brief" }, brief(item))];
  const details = folded(title, () => children(item, loader, path, open), { open });
  details.className = "node";
  return details;
}

/** @param {Json[] | JsonObject} item */
function brief(item) {
  const entries = entriesOf(item);
  const list = Array.isArray(item);
  /** @type {string[]} */
  const words = [];
  let length = 0;
  for (const [key, each] of entries) {
    if (length > BRIEF) break;
    const word = list ? briefItem(each) : `${key}: ${briefItem(each)}`;
    words.push(word);
    length += word.length;
  }
  if (words.length < entries.length) words.push(`… ${number(entries.length)}`);
  return list ? `[${words.join(", ")}]` : `{${words.join(", ")}}`;
}

/** @param {Json} item */
function briefItem(item) {
  if (isContainer(item)) return Array.isArray(item) ? "[…]" : "{…}";
  return JSON.stringify(isLargeInteger(item) ? item[NUMBER] : plain(item)).slice(0, BRIEF_ITEM);
}

/**
 * @param {Json | undefined} item
 * @param {Loader} loader
 * @param {Path} path
 */
function scalar(item, loader, path) {
  if (isLargeInteger(item)) return h("span", { class: "number" }, item[NUMBER]);
  const shown = plain(item);
  if (typeof shown !== "string")
    return h("span", { class: shown === null ? "null" : typeof shown }, String(shown));
  if (shown.length < SCALAR && !shown.includes("\n") && shown === item)
    return h("span", { class: "string" }, JSON.stringify(shown));
  const block = text(item, loader, path, { mono: true });
  block.classList.add("string");
  return block;
}

/**
 * A text that is JSON itself is shown as what it says, with the text one click away.
 *
 * @param {Json} data
 * @param {Loader} loader
 * @param {Path} path
 */
export function textOrJson(data, loader, path) {
  if (typeof data !== "string" || !/^\s*[[{]/.test(data)) return value(data, loader, path);
  const asText = () => text(data, loader, path, { mono: true });
  try {
    return h("div", {}, json(JSON.parse(data), {}, []), folded("as text", asText));
  } catch {
    return asText();
  }
}
