// Any data: texts, documents, and JSON as a tree that unfolds.
import { copyButton, h, number } from "./dom.js";

// What `spanlog.display.data` writes for what was cut.
const CUT = "\u0000cut";
const MORE = "\u0000more";
const NUMBER = "\u0000number";
const BATCH = 100; // items of a list or an object that are drawn at once
const PIECE = 20_000; // characters of a long text that the browser lays out at once

const isContainer = (value) =>
  value !== null && typeof value === "object" && !(CUT in value) && !(NUMBER in value);
const plain = (value) => (value?.[CUT] ? value[CUT][0] : value);

// `held` is what the value is part of: `held.whole()` gives all of it, uncut, where that can be had.
async function uncut(held, path) {
  return path.reduce((value, key) => value[key], await held.whole());
}

export function section(title, body, copied, note) {
  const heading = h("h4", {}, title, note && h("small", {}, note), copied && copyButton(copied));
  return h("section", {}, heading, body);
}

export function folded(title, draw, { open = false } = {}) {
  const details = h("details", { class: "more" }, h("summary", {}, title));
  const fill = () =>
    details.open && details.children.length === 1 && details.append(...[draw()].flat());
  details.addEventListener("toggle", fill);
  if (open) {
    details.open = true;
    fill();
  }
  return details;
}

// What copying a value copies: the text itself, or JSON.
export function copyOf(value, held, path) {
  return async () => {
    const all = held.whole ? await uncut(held, path) : value;
    return typeof plain(all) === "string" ? plain(all) : JSON.stringify(all, readable, 2);
  };
}

function readable(_key, value) {
  if (value?.[CUT]) return value[CUT][0] + "…";
  return value?.[NUMBER] ?? value;
}

function pieces(text) {
  const out = [];
  for (let start = 0; start < text.length; ) {
    const line = text.indexOf("\n", start + PIECE);
    const end = line >= 0 && line < start + 2 * PIECE ? line + 1 : start + PIECE;
    out.push(h("div", { class: "piece" }, text.slice(start, end)));
    start = end;
  }
  return out;
}

export function text(value, held, path, { mono = false } = {}) {
  const cut = value?.[CUT];
  const shown = String(plain(value));
  const block = h("div", { class: mono ? "text mono" : "text" }, shown);
  const box = h("div", { class: "long" }, block);
  if (shown.length > 1600 || shown.split("\n", 26).length > 24) {
    const button = h("button", { class: "link" }, "Show more");
    button.addEventListener("click", () => {
      button.textContent = block.classList.toggle("clamped") ? "Show more" : "Show less";
    });
    block.classList.add("clamped");
    box.append(button);
  }
  if (cut) {
    const left = `${number(cut[1] - shown.length)} more characters`;
    const note = h(
      "p",
      { class: "cut" },
      held.whole ? `${left} ` : `${left} are not kept on this page`,
    );
    if (held.whole) {
      const button = h("button", { class: "link" }, "Show all");
      button.addEventListener("click", async () => {
        box.replaceChildren(
          h(
            "div",
            { class: mono ? "text mono whole" : "text whole" },
            pieces(await uncut(held, path)),
          ),
        );
      });
      note.append(button);
    }
    box.append(note);
  }
  return box;
}

export function value(data, held, path) {
  if (typeof plain(data) === "string") return text(data, held, path);
  const documents = documentsIn(data);
  if (documents)
    return h(
      "div",
      {},
      batches(documents, (each, n) => document_(each, held, [...path, n])),
    );
  return json(data, held, path);
}

const isDocument = (item) => isContainer(item) && "page_content" in item;

function documentsIn(data) {
  return Array.isArray(data) &&
    data.length > 0 &&
    data.every((item) => isDocument(item) || item?.[MORE])
    ? data
    : null;
}

function document_(item, held, path) {
  if (!isDocument(item))
    return h("p", { class: "cut" }, `${number(item[MORE])} more documents are not shown`);
  const { page_content, metadata, ...rest } = item;
  const facts = {
    ...(isContainer(metadata) ? metadata : metadata == null ? {} : { metadata }),
    ...rest,
  };
  const known = Object.fromEntries(Object.entries(facts).filter(([, fact]) => fact != null));
  const score = Object.entries(known).find(
    ([name, fact]) => /score$/.test(name) && typeof fact === "number",
  );
  const source = ["title", "source", "url", "file_name", "file_path"]
    .map((name) => known[name])
    .find((name) => typeof name === "string");
  return h(
    "div",
    { class: "document" },
    h(
      "h5",
      {},
      h("b", {}, source ?? known.id ?? `Document ${path.at(-1) + 1}`),
      score && h("span", {}, `${score[0]} ${score[1].toFixed(3)}`),
    ),
    text(page_content ?? "", held, [...path, "page_content"]),
    Object.keys(known).length > 0 && folded("Metadata", () => json(known, held, path)),
  );
}

// Draw many items, a batch at a time.
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

export function json(data, held, path) {
  if (!isContainer(data)) return h("div", { class: "json" }, scalar(data, held, path));
  const entries = entriesOf(data);
  if (!entries.length) return h("div", { class: "json" }, Array.isArray(data) ? "[]" : "{}");
  return h(
    "div",
    { class: "json", role: "group" },
    children(data, held, path, weight(data, 600) <= 600),
  );
}

function entriesOf(data) {
  return Array.isArray(data) ? data.map((item, n) => [n, item]) : Object.entries(data);
}

// About how many characters a value has; counts no further than a limit.
function weight(data, limit) {
  if (!isContainer(data)) return String(plain(data) ?? "null").length + 4;
  let sum = 0;
  for (const [key, item] of entriesOf(data)) {
    sum += String(key).length + 4 + weight(item, limit - sum);
    if (sum > limit) break;
  }
  return sum;
}

function children(data, held, path, open) {
  return batches(entriesOf(data), ([key, item]) => node(key, item, held, [...path, key], open));
}

function node(key, item, held, path, open) {
  if (key === MORE || item?.[MORE]) {
    return h("p", { class: "cut" }, `${number(item?.[MORE] ?? item)} more are not shown`);
  }
  const name = h("span", { class: typeof key === "number" ? "index" : "key" }, String(key));
  if (!isContainer(item)) return h("div", { class: "leaf" }, name, scalar(item, held, path));
  const entries = entriesOf(item);
  if (!entries.length)
    return h(
      "div",
      { class: "leaf" },
      name,
      h("span", { class: "brief" }, Array.isArray(item) ? "[]" : "{}"),
    );
  const title = [name, h("span", { class: "brief" }, brief(item))];
  const details = folded(title, () => children(item, held, path, open), { open });
  details.className = "node";
  return details;
}

function brief(item) {
  const entries = entriesOf(item);
  const one = (each) =>
    isContainer(each)
      ? Array.isArray(each)
        ? "[…]"
        : "{…}"
      : JSON.stringify(each?.[NUMBER] ?? plain(each)).slice(0, 40);
  const list = Array.isArray(item);
  const words = [];
  let length = 0;
  for (const [key, each] of entries) {
    if (length > 60) break;
    words.push(list ? one(each) : `${key}: ${one(each)}`);
    length += words.at(-1).length;
  }
  if (words.length < entries.length) words.push(`… ${number(entries.length)}`);
  return list ? `[${words.join(", ")}]` : `{${words.join(", ")}}`;
}

function scalar(item, held, path) {
  if (item?.[NUMBER]) return h("span", { class: "number" }, item[NUMBER]);
  const shown = plain(item);
  if (typeof shown !== "string")
    return h("span", { class: shown === null ? "null" : typeof shown }, String(shown));
  if (shown.length < 200 && !shown.includes("\n") && shown === item)
    return h("span", { class: "string" }, JSON.stringify(shown));
  const block = text(item, held, path, { mono: true });
  block.classList.add("string");
  return block;
}

// A text that is JSON itself is shown as what it says, with the text one click away.
export function textOrJson(data, held, path) {
  if (typeof data === "string" && /^\s*[[{]/.test(data)) {
    try {
      const said = JSON.parse(data);
      return h(
        "div",
        {},
        json(said, { whole: undefined }, []),
        folded("as text", () => text(data, held, path, { mono: true })),
      );
    } catch {
      return text(data, held, path, { mono: true });
    }
  }
  return value(data, held, path);
}
