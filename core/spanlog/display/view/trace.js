// One trace: its head, its spans, and what the selected span holds.
//
// What it shows comes from a source:
//   trace               the outline (`spanlog.display.data.outline`)
//   span(id)            a promise of what a span holds (`spanlog.display.data.contents`)
//   whole(id)           the same, uncut; absent where only the cut values are at hand
//   find(text)          a promise of the ids of the spans that hold a text
//   attachment(sha256, type)  the address of binary content, or null
import { assessed } from "./assessed.js";
import { chat } from "./chat.js";
import { copyButton, duration, h, icon, moment, money, number, STATES, tokens } from "./dom.js";
import { Tree } from "./tree.js";
import { batches, copyOf, folded, json, section, text, value } from "./values.js";

const NOTHING = {
  failures: [],
  messages: [],
  inputs: null,
  outputs: null,
  tools: [],
  attributes: {},
  events: [],
};

export class TraceView extends HTMLElement {
  static sheet = new CSSStyleSheet();

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [TraceView.sheet];
    this.tree = new Tree((index) => this.open(index));
    this.head = h("header");
    this.facts = h("div", { class: "facts" });
    this.details = h("div", {
      class: "details",
      tabindex: "0",
      role: "region",
      "aria-label": "Selected span",
    });
    this.splitter = h("div", {
      class: "splitter",
      role: "separator",
      "aria-orientation": "vertical",
    });
    this.search = h("input", {
      type: "search",
      placeholder: "Search this trace",
      "aria-label": "Search this trace",
      spellcheck: "false",
    });
    this.hits = h("span", { class: "hits", role: "status" });
    this.pane = h("div", { class: "pane" }, this.tools(), this.tree.scale, this.tree.rows);
    this.frame = h(
      "div",
      { class: "frame" },
      this.head,
      this.facts,
      h("div", { class: "body" }, this.pane, this.splitter, this.details),
    );
    this.shadowRoot.append(this.frame);
    this.frame.addEventListener("keydown", (event) => this.pressed(event));
    this.search.addEventListener("input", () => this.look());
    this.splitter.addEventListener("pointerdown", (event) => this.drag(event));
  }

  tools() {
    const button = (label, title, act) =>
      h("button", { title, "aria-label": title, onclick: act }, label);
    return h(
      "div",
      { class: "tools" },
      h("label", { class: "search" }, icon("search"), this.search, this.hits),
      button("↑", "Previous match (Shift+Enter)", () => this.nextHit(-1)),
      button("↓", "Next match (Enter)", () => this.nextHit(1)),
      button("−", "Fold all", () => this.tree.foldAll(true)),
      button("+", "Unfold all", () => this.tree.foldAll(false)),
    );
  }

  // Show a trace; the same one again keeps what is selected and unfolded.
  show(source, { select } = {}) {
    const again = this.source?.trace.id === source.trace.id;
    const shown = this.shown;
    this.source = source;
    if (!again) {
      this.search.value = "";
      this.hits.textContent = "";
      this.tree.forget();
    }
    this.tree.show(source.trace);
    this.drawHead();
    const { spans } = source.trace;
    if (again && this.tree.selected >= 0) {
      if (this.told(this.tree.selected) !== shown) this.open(this.tree.selected);
      return;
    }
    const wanted = spans.findIndex((span) => span.id === select);
    this.tree.select(wanted >= 0 ? wanted : 0);
  }

  drawHead() {
    const { trace } = this.source;
    const failed = trace.spans.filter((span) => span.error).length;
    const models = [...new Set(trace.spans.map((span) => span.model).filter(Boolean))];
    this.head.replaceChildren(
      h("b", {}, trace.name),
      h("span", { class: `state ${trace.state}` }, STATES[trace.state] ?? trace.state),
      ...(failed
        ? [
            h(
              "button",
              { class: "errors", title: "Next error (e)", onclick: () => this.nextError() },
              icon("error"),
              `${number(failed)} error${failed === 1 ? "" : "s"}`,
            ),
          ]
        : []),
      ...[
        trace.took === null ? "" : duration(trace.took),
        tokens(trace.usage),
        money(trace.cost),
        `${number(trace.spans.length)} span${trace.spans.length === 1 ? "" : "s"}`,
        models.slice(0, 3).join(", "),
        moment(trace.time),
      ]
        .filter(Boolean)
        .map((figure) => h("span", {}, figure)),
      h(
        "code",
        {},
        trace.id,
        copyButton(() => trace.id),
      ),
    );
    const open = this.facts.querySelector("details")?.open;
    const of = (said) => trace.spans.find((span) => span.id === said.span_id)?.name;
    const facts = [
      ...Object.entries(trace.metadata).map(([key, fact]) => [
        key.replace(/^mlflow\.trace\./, ""),
        fact,
      ]),
      ...Object.entries(trace.tags),
      ...(trace.client_request_id ? [["client request id", trace.client_request_id]] : []),
    ];
    this.facts.replaceChildren(
      ...facts.map(([key, fact]) =>
        h(
          "span",
          {
            class: "fact",
            title: `${key}: ${fact?.length > 500 ? fact.slice(0, 500) + "…" : fact}`,
          },
          h("em", {}, key),
          " ",
          String(fact).slice(0, 120),
        ),
      ),
      ...(trace.assessments.length
        ? [
            folded(
              `Assessments (${trace.assessments.length})`,
              () => batches(trace.assessments, (said) => assessed(said, of(said))),
              { open },
            ),
          ]
        : []),
    );
  }

  // What the outline tells of a span.
  told(index) {
    const span = this.source.trace.spans[index];
    return JSON.stringify([span, this.assessments(span.id)]);
  }

  assessments(id) {
    return this.source.trace.assessments.filter((said) => said.span_id === id);
  }

  // Show what a span holds.
  async open(index) {
    const span = this.source.trace.spans[index];
    const same = this.opened === span.id;
    this.shown = this.told(index);
    this.opened = span.id;
    this.dispatchEvent(new CustomEvent("span", { detail: span.id }));
    const source = this.source;
    const got = {
      ...NOTHING,
      ...(await source.span(span.id).catch((error) => ({ refused: error.message }))),
    };
    if (this.opened !== span.id || this.source !== source) return; // another was chosen meanwhile
    if (got.refused) {
      this.details.replaceChildren(h("p", { class: "refused" }, got.refused));
      return;
    }
    let whole;
    const held = {
      attachment: source.attachment,
      whole: source.whole && (() => (whole ??= source.whole(span.id))),
    };
    this.details.replaceChildren(...this.contents(index, got, held));
    if (!same) this.details.scrollTop = 0;
    this.highlight();
  }

  *contents(index, got, held) {
    const span = this.source.trace.spans[index];
    yield h(
      "div",
      { class: `title ${span.error ? "failed" : span.family}` },
      h(
        "h3",
        {},
        icon(span.type || "UNKNOWN"),
        h("b", {}, span.name),
        span.type && h("em", {}, span.type),
      ),
      h(
        "p",
        {},
        [
          span.end === null ? "not ended" : duration(span.end - span.start),
          index && `began at ${duration(span.start)}`,
          span.model,
          tokens(span.usage),
          money(span.cost),
          span.usage?.reasoning_output_tokens &&
            `${number(span.usage.reasoning_output_tokens)} reasoning`,
        ]
          .filter(Boolean)
          .map((figure) => h("span", {}, figure)),
      ),
    );
    for (const [n, failure] of got.failures.entries())
      yield this.failure(failure, held, ["failures", n]);
    const judged = this.assessments(span.id);
    if (judged.length)
      yield section(
        "Assessments",
        batches(judged, (each) => assessed(each)),
      );
    const said = got.messages.length > 0;
    if (said)
      yield section("Messages", chat(got.messages, held), copyOf(got.messages, held, ["messages"]));
    for (const [title, name] of [
      ["Inputs", "inputs"],
      ["Outputs", "outputs"],
    ]) {
      if (got[name] === null) continue;
      const copied = copyOf(got[name], held, [name]);
      if (said)
        yield h(
          "section",
          { class: "raw" },
          folded([`${title}, as recorded`, copyButton(copied)], () =>
            json(got[name], held, [name]),
          ),
        );
      else yield section(title, value(got[name], held, [name]), copied);
    }
    if (got.tools.length) {
      const tool = (each, n) =>
        folded([h("b", {}, each.name), h("span", {}, each.description ?? "")], () =>
          json(each.parameters, held, ["tools", n, "parameters"]),
        );
      yield h(
        "section",
        { class: "raw" },
        folded(`Tools offered (${got.tools.length})`, () => batches(got.tools, tool)),
      );
    }
    if (got.events.length) {
      const happened = (each, n) =>
        h(
          "div",
          { class: "event" },
          h("h5", {}, h("b", {}, each.name), h("span", {}, `+${duration(each.time)}`)),
          json(each.attributes, held, ["events", n, "attributes"]),
        );
      yield h(
        "section",
        { class: "raw" },
        folded(`Events (${got.events.length})`, () => batches(got.events, happened)),
      );
    }
    const attributes = Object.keys(got.attributes).length;
    if (attributes) {
      const title = [
        `Attributes (${attributes})`,
        copyButton(copyOf(got.attributes, held, ["attributes"])),
      ];
      yield h(
        "section",
        { class: "raw" },
        folded(title, () => json(got.attributes, held, ["attributes"])),
      );
    }
    yield h("p", { class: "id" }, "span ", h("code", {}, span.id));
  }

  failure(failure, held, path) {
    const name = String(failure.type);
    return h(
      "section",
      { class: "failure" },
      h("h4", {}, icon("error"), name || "Error"),
      text(failure.message, held, [...path, "message"]),
      failure.stack &&
        folded("Stack", () => text(failure.stack, held, [...path, "stack"], { mono: true }), {
          open: this.source.trace.spans.length === 1,
        }),
    );
  }

  // Searching.

  async look() {
    const wanted = this.search.value.trim();
    clearTimeout(this.waiting);
    if (!wanted) {
      this.hits.textContent = "";
      this.tree.mark(null);
      this.highlight();
      return;
    }
    this.waiting = setTimeout(async () => {
      const found = new Set(await this.source.find(wanted).catch(() => []));
      if (this.search.value.trim() !== wanted) return;
      this.tree.mark(found);
      this.hits.textContent = number(found.size);
      this.highlight();
    }, 120);
  }

  nextHit(step) {
    const { found, spans, selected } = this.tree;
    this.nextSpan(step, (span) => found?.has(span.id), spans, selected);
  }

  nextError() {
    this.nextSpan(1, (span) => span.error, this.tree.spans, this.tree.selected);
  }

  nextSpan(step, fits, spans, selected) {
    for (let n = 1; n <= spans.length; n++) {
      const index = (selected + step * n + n * spans.length) % spans.length;
      if (fits(spans[index])) return this.tree.select(index);
    }
  }

  // Mark the text that was searched for in what the span holds.
  highlight() {
    if (!CSS.highlights) return;
    const wanted = this.search.value.trim().toLowerCase();
    const ranges = [];
    const walker = document.createTreeWalker(this.details, NodeFilter.SHOW_TEXT);
    while (wanted && walker.nextNode() && ranges.length < 1000) {
      const { data } = walker.currentNode;
      const held = data.toLowerCase();
      if (held.length !== data.length) continue;
      for (
        let at = held.indexOf(wanted);
        at >= 0 && ranges.length < 1000;
        at = held.indexOf(wanted, at + wanted.length)
      ) {
        const range = new Range();
        range.setStart(walker.currentNode, at);
        range.setEnd(walker.currentNode, at + wanted.length);
        ranges.push(range);
      }
    }
    for (const old of this.ranges ?? []) CSS.highlights.get("spanlog")?.delete(old);
    this.ranges = ranges;
    if (!CSS.highlights.has("spanlog")) CSS.highlights.set("spanlog", new Highlight());
    for (const range of ranges) CSS.highlights.get("spanlog").add(range);
    ranges[0]?.startContainer.parentElement.scrollIntoView({ block: "nearest" });
  }

  // Keyboard and pointer.

  pressed(event) {
    const inSearch = event.composedPath()[0] === this.search;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = inSearch
      ? {
          Enter: () => this.nextHit(event.shiftKey ? -1 : 1),
          Escape: () => {
            this.search.value = "";
            this.look();
            this.tree.rows.focus({ preventScroll: true });
          },
        }
      : {
          "/": () => this.search.focus(),
          e: () => this.nextError(),
          n: () => this.nextHit(1),
          N: () => this.nextHit(-1),
          Enter: () =>
            this.tree.rows === this.shadowRoot.activeElement &&
            (this.details.focus({ preventScroll: true }), true),
          Escape: () => this.tree.rows.focus({ preventScroll: true }),
        };
    const act = keys[event.key];
    if (act && act() !== false) event.preventDefault();
    event.stopPropagation(); // a notebook has shortcuts of its own
  }

  drag(event) {
    event.preventDefault();
    const { left, width } = this.frame.getBoundingClientRect();
    const move = (at) =>
      this.frame.style.setProperty(
        "--pane",
        `${Math.min(Math.max(((at.clientX - left) / width) * 100, 20), 80)}%`,
      );
    this.splitter.setPointerCapture(event.pointerId);
    this.splitter.addEventListener("pointermove", move);
    this.splitter.addEventListener(
      "pointerup",
      () => this.splitter.removeEventListener("pointermove", move),
      { once: true },
    );
  }
}
