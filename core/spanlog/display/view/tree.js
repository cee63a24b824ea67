// The spans of a trace as a tree with a waterfall. Only the rows in sight are drawn.
import { duration, h, icon, tokens, tokensShort } from "./dom.js";

const ROW = 26; // pixels, as in trace.css
const INDENT = 14;
const DEEPEST = 16; // deeper spans are not indented further
const AROUND = 12; // rows that are drawn above and below those in sight

// At most five round times from nothing to a length.
function ticks(length) {
  const power = 10 ** Math.floor(Math.log10(length / 4));
  const step = [1, 2, 5, 10].map((n) => n * power).find((each) => each >= length / 4.4);
  const out = [];
  for (let at = 0; at < length * 0.87; at += step) out.push(at);
  return out;
}

export class Tree {
  // `select(index)` is called when a span is chosen.
  constructor(select) {
    this.onselect = select;
    this.spans = [];
    this.closed = new Set();
    this.found = null;
    this.selected = -1;
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

  // Show spans; those that were known stay open, closed and selected.
  show(trace) {
    const before = this.spans[this.selected]?.id;
    const known = new Set(this.spans.map((span) => span.id));
    this.trace = trace;
    this.spans = trace.spans;
    this.ends = this.spans.map(() => this.spans.length); // where what is below a span ends
    const above = [];
    this.parents = this.spans.map((span, index) => {
      while (above.length > span.depth) this.ends[above.pop()] = index;
      const parent = above.at(-1) ?? -1;
      above.push(index);
      return parent;
    });
    for (const span of this.spans)
      if (span.doubled && !known.has(span.id)) this.closed.add(span.id);
    const latest = this.spans.reduce((last, span) => Math.max(last, span.end ?? span.start), 1);
    this.length = Math.max(
      latest,
      trace.took ?? 0,
      trace.state === "IN_PROGRESS" ? (Date.now() - trace.begin) * 1e6 : 0,
    );
    this.scale.replaceChildren(
      ...ticks(this.length).map((ns) =>
        h("span", { style: { left: `${(ns / this.length) * 100}%` } }, ns ? duration(ns) : "0"),
      ),
    );
    this.selected = before ? this.spans.findIndex((span) => span.id === before) : -1;
    this.layOut();
  }

  // Make room for another trace.
  forget() {
    this.closed.clear();
    this.spans = [];
    this.found = null;
    this.selected = -1;
    this.rows.scrollTop = 0;
  }

  layOut() {
    this.visible = [];
    for (let index = 0; index < this.spans.length; ) {
      this.visible.push(index);
      index = this.closed.has(this.spans[index].id) ? this.ends[index] : index + 1;
    }
    this.place = new Map(this.visible.map((index, row) => [index, row]));
    this.field.style.height = `${this.visible.length * ROW}px`;
    this.draw();
  }

  draw() {
    if (!this.visible) return;
    const first = Math.max(Math.floor(this.rows.scrollTop / ROW) - AROUND, 0);
    const last = Math.min(
      first + Math.ceil(this.rows.clientHeight / ROW) + 2 * AROUND,
      this.visible.length,
    );
    this.put(this.visible.slice(first, last).map((index, n) => this.row(index, first + n)));
    if (this.selected >= 0)
      this.rows.setAttribute("aria-activedescendant", `span-${this.selected}`);
  }

  // Have these rows and no others. One that is there stays: a click on it may have begun.
  put(made) {
    const there = new Map([...this.field.children].map((row) => [row.id, row]));
    const rows = made.map((row) => (there.get(row.id)?.isEqualNode(row) ? there.get(row.id) : row));
    const stay = new Set(rows);
    for (const row of there.values()) if (!stay.has(row)) row.remove();
    rows.forEach(
      (row, n) =>
        row === this.field.children[n] ||
        this.field.insertBefore(row, this.field.children[n] ?? null),
    );
  }

  row(index, place) {
    const span = this.spans[index];
    const inner = this.ends[index] - index - 1;
    const closed = this.closed.has(span.id);
    const classes = ["row", span.family];
    if (span.error) classes.push("failed");
    if (span.end === null) classes.push("open");
    if (this.found && !this.found.has(span.id)) classes.push("dim");
    if (this.found?.has(span.id)) classes.push("found");
    const end = span.end ?? this.length;
    const part = (ns) => `${Math.min(Math.max((ns / this.length) * 100, 0), 100).toFixed(3)}%`;
    const unended = this.trace.state === "INTERRUPTED" ? "interrupted" : "running";
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
      h("span", { class: "took" }, span.end === null ? unended : duration(span.end - span.start)),
      h(
        "span",
        { class: "bar" },
        h("i", { style: { left: part(span.start), width: part(end - span.start) } }),
      ),
    );
  }

  select(index, { focus = false } = {}) {
    if (index < 0 || index >= this.spans.length) return;
    for (let above = this.parents[index]; above >= 0; above = this.parents[above])
      this.closed.delete(this.spans[above].id);
    this.selected = index;
    this.layOut();
    const top = this.place.get(index) * ROW;
    const { scrollTop, clientHeight } = this.rows;
    if (top < scrollTop) this.rows.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.rows.scrollTop = top + ROW - clientHeight;
    if (focus) this.rows.focus({ preventScroll: true });
    this.onselect(index);
  }

  fold(index, closed) {
    if (this.ends[index] === index + 1) return;
    this.closed[closed ? "add" : "delete"](this.spans[index].id);
    this.layOut();
  }

  foldAll(closed) {
    this.closed = new Set(
      closed ? this.spans.filter((_, n) => this.parents[n] >= 0).map((span) => span.id) : [],
    );
    this.layOut();
  }

  // Mark the spans that were looked for; null for none.
  mark(ids) {
    this.found = ids;
    this.draw();
  }

  clicked(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const index = Number(row.dataset.index);
    if (event.target.closest(".fold:not(.none)"))
      this.fold(index, !this.closed.has(this.spans[index].id));
    else this.select(index);
  }

  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const row = this.place?.get(this.selected) ?? -1;
    const page = Math.max(Math.floor(this.rows.clientHeight / ROW) - 1, 1);
    const go = (to) =>
      this.select(this.visible[Math.min(Math.max(to, 0), this.visible.length - 1)]);
    const span = this.spans[this.selected];
    const closed = span && this.closed.has(span.id);
    const inner = span && this.ends[this.selected] > this.selected + 1;
    const keys = {
      ArrowDown: () => go(row + 1),
      j: () => go(row + 1),
      ArrowUp: () => go(row - 1),
      k: () => go(row - 1),
      PageDown: () => go(row + page),
      PageUp: () => go(row - page),
      Home: () => go(0),
      End: () => go(this.visible.length - 1),
      ArrowRight: () => (inner && closed ? this.fold(this.selected, false) : inner && go(row + 1)),
      ArrowLeft: () =>
        inner && !closed
          ? this.fold(this.selected, true)
          : this.select(this.parents[this.selected]),
      " ": () => this.fold(this.selected, !closed),
    };
    const act = keys[event.key];
    if (!act || !this.spans.length) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  }
}
