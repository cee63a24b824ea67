// The spans of a trace as a tree with a waterfall. Only the rows in sight are drawn.
import { duration, h, icon, tokens, tokensShort } from "./dom.js";

/** @import { Span, Trace } from "./types.js" */

const ROW = 26; // pixels, as in trace.css
const INDENT = 14; // pixels
const DEEPEST = 16; // deeper spans are not indented further
const AROUND = 12; // rows that are drawn above and below those in sight

/**
 * Return at most five round times from nothing to a length.
 *
 * @param {number} length In nanoseconds, as the times.
 */
function ticks(length) {
  const power = 10 ** Math.floor(Math.log10(length / 4));
  const steps = [1, 2, 5, 10].map((n) => n * power);
  const step = steps.find((each) => each >= length / 4.4) ?? length;
  const times = [];
  for (let at = 0; at < length * 0.87; at += step) times.push(at);
  return times;
}

export class Tree {
  /** @type {Span[]} */
  spans = [];
  /** @type {number[]} By span: its parent's index, or -1. */
  parents = [];
  /** @type {number[]} By span: the index where what is below it ends. */
  ends = [];
  /** @type {Set<string>} The ids of the spans that are folded. */
  closed = new Set();
  /** @type {Set<string> | null} The ids of the spans that were searched for, if any were. */
  hits = null;
  selected = -1;
  /** @type {number[]} The indexes of the spans that have a row. */
  visible = [];
  /** @type {Map<number, number>} By index: its row. */
  rowOf = new Map();
  /** Nanoseconds that the waterfall is wide. */
  length = 1;
  /** What is told in place of a duration. */
  unended = "";

  /** @param {(index: number) => void} onselect Is called when a span is selected. */
  constructor(onselect) {
    this.onselect = onselect;
    this.field = h("div", { class: "field" });
    this.scale = h("div", { class: "scale", "aria-hidden": "true" });
    this.rows = h(
      "div",
      { class: "rows", role: "tree", tabindex: "0", "aria-label": "Spans" },
      this.field,
    );
    this.rows.addEventListener("scroll", () => requestAnimationFrame(() => this.draw()));
    this.rows.addEventListener("click", (event) => this.clicked(event));
    this.rows.addEventListener("keydown", (event) => this.pressed(event));
    new ResizeObserver(() => this.draw()).observe(this.rows);
  }

  /**
   * Show spans; those that were there before stay open, closed and selected.
   *
   * @param {Trace} trace
   */
  show(trace) {
    const selected = this.spans[this.selected]?.id;
    const before = new Set(this.spans.map((span) => span.id));
    this.spans = trace.spans;
    this.nest();
    for (const span of this.spans)
      if (span.doubled && !before.has(span.id)) this.closed.add(span.id);
    const latest = this.spans.reduce((last, span) => Math.max(last, span.end ?? span.start), 1);
    const elapsed = trace.state === "IN_PROGRESS" ? (Date.now() - trace.begin) * 1e6 : 0;
    this.length = Math.max(latest, trace.took ?? 0, elapsed);
    this.unended = trace.state === "INTERRUPTED" ? "interrupted" : "running";
    const part = (/** @type {number} */ ns) => `${(ns / this.length) * 100}%`;
    this.scale.replaceChildren(
      ...ticks(this.length).map((ns) =>
        h("span", { style: { left: part(ns) } }, ns ? duration(ns) : "0"),
      ),
    );
    this.selected = selected ? this.spans.findIndex((span) => span.id === selected) : -1;
    this.layOut();
  }

  // Find parents and ends by the depths.
  nest() {
    this.ends = this.spans.map(() => this.spans.length);
    /** @type {number[]} */
    const above = [];
    this.parents = this.spans.map((span, index) => {
      for (const ended of above.splice(span.depth)) this.ends[ended] = index;
      const parent = above.at(-1) ?? -1;
      above.push(index);
      return parent;
    });
  }

  // Make room for another trace.
  forget() {
    this.closed.clear();
    this.spans = [];
    this.hits = null;
    this.selected = -1;
    this.rows.scrollTop = 0;
  }

  layOut() {
    this.visible = [];
    for (let index = 0; index < this.spans.length; ) {
      this.visible.push(index);
      index = this.closed.has(this.spans[index].id) ? this.ends[index] : index + 1;
    }
    this.rowOf = new Map(this.visible.map((index, row) => [index, row]));
    this.field.style.height = `${this.visible.length * ROW}px`;
    this.draw();
  }

  draw() {
    const first = Math.max(Math.floor(this.rows.scrollTop / ROW) - AROUND, 0);
    const last = Math.min(
      first + Math.ceil(this.rows.clientHeight / ROW) + 2 * AROUND,
      this.visible.length,
    );
    this.put(this.visible.slice(first, last).map((index, n) => this.row(index, first + n)));
    if (this.selected >= 0)
      this.rows.setAttribute("aria-activedescendant", `span-${this.selected}`);
  }

  /**
   * Have these rows and no others. An equal one stays: a click on it may have begun.
   *
   * @param {Element[]} drawn
   */
  put(drawn) {
    const before = new Map([...this.field.children].map((row) => [row.id, row]));
    const rows = drawn.map((row) => {
      const same = before.get(row.id);
      return same?.isEqualNode(row) ? same : row;
    });
    const stay = new Set(rows);
    for (const row of before.values()) if (!stay.has(row)) row.remove();
    for (const [n, row] of rows.entries()) {
      const next = this.field.children[n] ?? null;
      if (row !== next) this.field.insertBefore(row, next);
    }
  }

  /**
   * @param {number} index Of a span.
   * @param {number} place Of the row.
   */
  row(index, place) {
    const span = this.spans[index];
    const inner = this.ends[index] - index - 1;
    const closed = this.closed.has(span.id);
    const classes = ["row", span.family];
    if (span.error) classes.push("failed");
    if (span.end === null) classes.push("open");
    if (this.hits) classes.push(this.hits.has(span.id) ? "found" : "dim");
    const end = span.end ?? this.length;
    const part = (/** @type {number} */ ns) =>
      `${Math.min(Math.max((ns / this.length) * 100, 0), 100).toFixed(3)}%`;
    return h(
      "div",
      {
        class: classes.join(" "),
        id: `span-${index}`,
        role: "treeitem",
        "aria-level": span.depth + 1,
        "aria-selected": String(index === this.selected),
        "aria-expanded": inner ? String(!closed) : null,
        "data-index": index,
        style: { top: `${place * ROW}px`, "--x": `${Math.min(span.depth, DEEPEST) * INDENT}px` },
        title: [span.name, span.type, span.note, span.error].filter(Boolean).join("\n"),
      },
      h(
        "span",
        { class: "name" },
        h("i", { class: inner ? "fold" : "fold none" }),
        icon(span.error ? "error" : span.type || "UNKNOWN"),
        h("b", {}, span.name),
        closed &&
          h(
            "small",
            { class: "count" },
            span.doubled ? `+${inner} layer${inner > 1 ? "s" : ""}` : `+${inner}`,
          ),
        span.orphan && h("small", { class: "orphan" }, "parent missing"),
        span.note && h("span", { class: "note" }, span.note),
        span.error && h("span", { class: "why" }, span.error),
      ),
      h("span", { class: "tokens", title: tokens(span.usage) }, tokensShort(span.usage)),
      h(
        "span",
        { class: "took" },
        span.end === null ? this.unended : duration(span.end - span.start),
      ),
      h(
        "span",
        { class: "bar" },
        h("i", { style: { left: part(span.start), width: part(end - span.start) } }),
      ),
    );
  }

  /** @param {number} index */
  select(index) {
    if (index < 0 || index >= this.spans.length) return;
    for (let above = this.parents[index]; above >= 0; above = this.parents[above])
      this.closed.delete(this.spans[above].id);
    this.selected = index;
    this.layOut();
    const top = (this.rowOf.get(index) ?? 0) * ROW;
    const { scrollTop, clientHeight } = this.rows;
    if (top < scrollTop) this.rows.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.rows.scrollTop = top + ROW - clientHeight;
    this.onselect(index);
  }

  /**
   * @param {number} index
   * @param {boolean} closed
   */
  fold(index, closed) {
    if (this.ends[index] === index + 1) return;
    const { id } = this.spans[index];
    if (closed) this.closed.add(id);
    else this.closed.delete(id);
    this.layOut();
  }

  /** @param {boolean} closed */
  foldAll(closed) {
    this.closed = new Set(
      closed ? this.spans.filter((_, n) => this.parents[n] >= 0).map((span) => span.id) : [],
    );
    this.layOut();
  }

  /** @param {Set<string> | null} ids Of the spans that were searched for. */
  mark(ids) {
    this.hits = ids;
    this.draw();
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const clicked = /** @type {Element} */ (event.target);
    const row = clicked.closest(".row");
    if (!row) return;
    const index = Number(row.getAttribute("data-index"));
    if (clicked.closest(".fold:not(.none)"))
      this.fold(index, !this.closed.has(this.spans[index].id));
    else this.select(index);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = this.rowOf.get(this.selected) ?? -1;
    const page = Math.max(Math.floor(this.rows.clientHeight / ROW) - 1, 1);
    const go = (/** @type {number} */ to) =>
      this.select(this.visible[Math.min(Math.max(to, 0), this.visible.length - 1)]);
    const span = this.spans[this.selected];
    if (!span) return;
    const closed = this.closed.has(span.id);
    const inner = this.ends[this.selected] > this.selected + 1;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => go(row + 1),
      j: () => go(row + 1),
      ArrowUp: () => go(row - 1),
      k: () => go(row - 1),
      PageDown: () => go(row + page),
      PageUp: () => go(row - page),
      Home: () => go(0),
      End: () => go(this.visible.length - 1),
      ArrowRight: () => {
        if (inner && closed) this.fold(this.selected, false);
        else if (inner) go(row + 1);
      },
      ArrowLeft: () => {
        if (inner && !closed) this.fold(this.selected, true);
        else this.select(this.parents[this.selected]);
      },
      " ": () => this.fold(this.selected, !closed),
    };
    const act = keys[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }
}
