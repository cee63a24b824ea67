// One trace: its head, its spans, and what the selected span holds.
import { assessment } from "./assessment.js";
import { contents } from "./contents.js";
import { copyButton, duration, h, icon, moment, money, number, STATES, tokens } from "./dom.js";
import { Tree } from "./tree.js";
import { batches, folded, plain } from "./values.js";

/** @import { Assessment, Json, Loader, Source, Span, Trace } from "./types.js" */

const MODELS = 3; // that the head names
const FACT = 120; // characters of a tag that the head shows
const FACT_TITLE = 500; // characters of it that the mouse brings up
const TYPING = 120; // milliseconds without another key, after which is searched
const HIGHLIGHTED = 1000; // places of a text that are marked at once

export class TraceView extends HTMLElement {
  static sheet = new CSSStyleSheet();

  /** @type {Source | null} */
  source = null;
  /** The id of the span whose contents are shown. */
  opened = "";
  /** What the outline had of it, as JSON. */
  shown = "";
  /** @type {Range[]} */
  ranges = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  typing;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [TraceView.sheet];
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
    root.append(this.frame);
    this.frame.addEventListener("keydown", (event) => this.pressed(event));
    this.search.addEventListener("input", () => this.find());
    this.splitter.addEventListener("pointerdown", (event) => this.drag(event));
  }

  tools() {
    /**
     * @param {string} label
     * @param {string} title
     * @param {() => void} act
     */
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

  /**
   * Show a trace; the same one again keeps what is selected and unfolded.
   *
   * @param {Source} source
   * @param {{ select?: string | null }} [options] The id of the span that is selected at first.
   */
  show(source, { select } = {}) {
    const again = this.source?.trace.id === source.trace.id;
    this.source = source;
    if (!again) {
      this.search.value = "";
      this.hits.textContent = "";
      this.tree.forget();
    }
    const { trace } = source;
    const before = this.shown;
    this.tree.show(trace);
    this.drawHead(trace);
    const { selected } = this.tree;
    if (!again || selected < 0)
      this.tree.select(
        Math.max(
          0,
          trace.spans.findIndex((span) => span.id === select),
        ),
      );
    else if (outlineOf(trace, selected) !== before) this.open(selected);
  }

  /** @param {Trace} trace */
  drawHead(trace) {
    const failed = trace.spans.filter((span) => span.error).length;
    const models = [...new Set(trace.spans.flatMap((span) => span.model || []))];
    const errors = h(
      "button",
      { class: "errors", title: "Next error (e)", onclick: () => this.nextError() },
      icon("error"),
      `${number(failed)} error${failed === 1 ? "" : "s"}`,
    );
    const figures = [
      trace.took !== null && duration(trace.took),
      tokens(trace.usage),
      money(trace.cost),
      `${number(trace.spans.length)} span${trace.spans.length === 1 ? "" : "s"}`,
      models.slice(0, MODELS).join(", "),
      moment(trace.time),
    ];
    const copy = copyButton(() => trace.id);
    this.head.replaceChildren(
      h("b", {}, trace.name),
      h("span", { class: `state ${trace.state}` }, STATES[trace.state]),
      ...(failed ? [errors] : []),
      ...figures.flatMap((figure) => (figure ? [h("span", {}, figure)] : [])),
      h("code", {}, trace.id, copy),
    );
    const open = this.facts.querySelector("details")?.open;
    this.facts.replaceChildren(
      ...factsOf(trace).map(drawFact),
      ...(trace.assessments.length ? [drawAssessments(trace, { open })] : []),
    );
  }

  /**
   * Show what a span holds.
   *
   * @param {number} index
   */
  async open(index) {
    const { source } = this;
    const span = source?.trace.spans[index];
    if (!source || !span) return;
    const { trace } = source;
    const same = this.opened === span.id;
    this.shown = outlineOf(trace, index);
    this.opened = span.id;
    this.dispatchEvent(new CustomEvent("span", { detail: span.id }));
    const [given, refusal] = await source.span(span.id).then(
      (response) => [response, ""],
      (error) => [null, error.message],
    );
    if (this.opened !== span.id || this.source !== source) return; // another was chosen meanwhile
    if (!given) {
      this.details.replaceChildren(h("p", { class: "refused" }, refusal));
      return;
    }
    const assessments = assessmentsOf(trace, span.id);
    const place = { first: index === 0, only: trace.spans.length === 1 };
    const parts = contents(span, assessments, given, loaderOf(source, span.id), place);
    this.details.replaceChildren(...parts);
    if (!same) this.details.scrollTop = 0;
    this.highlight();
  }

  // Searching.

  find() {
    const wanted = this.search.value.trim();
    clearTimeout(this.typing);
    if (!wanted) {
      this.hits.textContent = "";
      this.tree.mark(null);
      this.highlight();
      return;
    }
    this.typing = setTimeout(async () => {
      const hits = new Set(await this.source?.find(wanted).catch(() => []));
      if (this.search.value.trim() !== wanted) return;
      this.tree.mark(hits);
      this.hits.textContent = number(hits.size);
      this.highlight();
    }, TYPING);
  }

  /** @param {1 | -1} step */
  nextHit(step) {
    this.nextSpan(step, (span) => Boolean(this.tree.hits?.has(span.id)));
  }

  nextError() {
    this.nextSpan(1, (span) => Boolean(span.error));
  }

  /**
   * @param {1 | -1} step
   * @param {(span: Span) => boolean} fits
   */
  nextSpan(step, fits) {
    const { spans, selected } = this.tree;
    for (let n = 1; n <= spans.length; n++) {
      const index = (selected + step * n + n * spans.length) % spans.length;
      if (fits(spans[index])) {
        this.tree.select(index);
        return;
      }
    }
  }

  // Mark the text that was searched for in what the span holds.
  highlight() {
    if (!CSS.highlights) return;
    const wanted = this.search.value.trim().toLowerCase();
    const highlight = CSS.highlights.get("spanlog") ?? new Highlight();
    CSS.highlights.set("spanlog", highlight);
    for (const range of this.ranges) highlight.delete(range);
    this.ranges = wanted ? rangesOf(wanted, this.details) : [];
    for (const range of this.ranges) highlight.add(range);
    this.ranges[0]?.startContainer.parentElement?.scrollIntoView({ block: "nearest" });
  }

  // Keyboard and pointer.

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const toTree = () => this.tree.rows.focus({ preventScroll: true });
    /** @type {Record<string, () => void>} */
    const inSearch = {
      Enter: () => this.nextHit(event.shiftKey ? -1 : 1),
      Escape: () => {
        this.search.value = "";
        this.find();
        toTree();
      },
    };
    /** @type {Record<string, () => void>} */
    const elsewhere = {
      "/": () => this.search.focus(),
      e: () => this.nextError(),
      n: () => this.nextHit(1),
      N: () => this.nextHit(-1),
      Escape: toTree,
    };
    if (this.shadowRoot?.activeElement === this.tree.rows)
      elsewhere.Enter = () => this.details.focus({ preventScroll: true });
    const keys = event.composedPath()[0] === this.search ? inSearch : elsewhere;
    const act = keys[event.key];
    if (act) {
      act();
      event.preventDefault();
    }
    event.stopPropagation(); // a notebook has shortcuts of its own
  }

  /** @param {PointerEvent} event */
  drag(event) {
    event.preventDefault();
    const { left, width } = this.frame.getBoundingClientRect();
    /** @param {PointerEvent} at */
    const move = (at) => {
      const percent = Math.min(Math.max(((at.clientX - left) / width) * 100, 20), 80);
      this.frame.style.setProperty("--pane", `${percent}%`);
    };
    this.splitter.setPointerCapture(event.pointerId);
    this.splitter.addEventListener("pointermove", move);
    const stop = () => this.splitter.removeEventListener("pointermove", move);
    this.splitter.addEventListener("pointerup", stop, { once: true });
  }
}

/**
 * @param {Trace} trace
 * @param {string} id
 */
function assessmentsOf(trace, id) {
  return trace.assessments.filter((each) => each.span_id === id);
}

/**
 * Return what the outline has of a span, as JSON.
 *
 * @param {Trace} trace
 * @param {number} index
 */
function outlineOf(trace, index) {
  const span = trace.spans[index];
  return JSON.stringify([span, assessmentsOf(trace, span.id)]);
}

/**
 * @param {Source} source
 * @param {string} id Of a span.
 * @returns {Loader}
 */
function loaderOf(source, id) {
  /** @type {Promise<unknown> | undefined} */
  let whole;
  const load = () => {
    whole ??= source.whole?.(id);
    return whole ?? Promise.resolve();
  };
  return { attachment: source.attachment, whole: source.whole && load };
}

/** @param {Trace} trace */
function factsOf({ metadata, tags, client_request_id }) {
  const facts = Object.entries(metadata).map(([key, fact]) => ({
    key: key.replace(/^mlflow\.trace\./, ""),
    fact,
  }));
  facts.push(...Object.entries(tags).map(([key, fact]) => ({ key, fact })));
  if (client_request_id) facts.push({ key: "client request id", fact: client_request_id });
  return facts;
}

/** @param {{ key: string, fact: Json }} named */
function drawFact({ key, fact }) {
  const shown = String(plain(fact));
  const long = shown.length > FACT_TITLE ? `${shown.slice(0, FACT_TITLE)}…` : shown;
  const title = `${key}: ${long}`;
  return h("span", { class: "fact", title }, h("em", {}, key), " ", shown.slice(0, FACT));
}

/**
 * @param {Trace} trace
 * @param {{ open: boolean | undefined }} options
 */
function drawAssessments({ assessments, spans }, { open }) {
  /** @param {Assessment} each */
  const draw = (each) => assessment(each, spans.find((span) => span.id === each.span_id)?.name);
  const title = `Assessments (${assessments.length})`;
  return folded(title, () => batches(assessments, draw), { open });
}

/**
 * Return where a text stands below an element, in any letter case.
 *
 * @param {string} wanted In small letters.
 * @param {Element} element
 */
function rangesOf(wanted, element) {
  const ranges = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  while (walker.nextNode() && ranges.length < HIGHLIGHTED) {
    const node = /** @type {Text} */ (walker.currentNode);
    const text = node.data.toLowerCase();
    if (text.length !== node.data.length) continue; // positions would differ
    let at = text.indexOf(wanted);
    while (at >= 0 && ranges.length < HIGHLIGHTED) {
      const range = new Range();
      range.setStart(node, at);
      range.setEnd(node, at + wanted.length);
      ranges.push(range);
      at = text.indexOf(wanted, at + wanted.length);
    }
  }
  return ranges;
}
