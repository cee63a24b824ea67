// The page of one trace, and of two beside each other.
import { duration, h, money, number } from "/view/dom.js";
import { get, stay } from "./api.js";
import { Feedback } from "./feedback.js";

/** @import { Source, Trace } from "/view/types.js" */

const EVERY = 5; // an ended trace may still be judged or tagged: it is read again less often

/**
 * @param {Trace} trace
 * @returns {Source}
 */
function sourceOf(trace) {
  const path = `traces/${trace.id}`;
  return {
    trace,
    span: (id) => get(`${path}/spans/${id}`),
    whole: (id) => get(`${path}/spans/${id}`, { whole: "1" }),
    find: (text) => get(`${path}/find`, { text }),
    attachment: (sha256, type) => `/api/attachments/${sha256}?${new URLSearchParams({ type })}`,
  };
}

export class TracePage {
  /** @type {Trace | null} */
  trace = null;
  /** The trace that is shown, as JSON. */
  shown = "";
  /** Whether it has ended. */
  ended = false;
  /** How often there may have been something new since it ended. */
  looks = 1;

  /**
   * @param {URLSearchParams} query
   * @param {string} id
   */
  constructor(query, id) {
    this.id = id;
    this.selected = query.get("span");
    this.view = h("spanlog-trace");
    this.feedback = new Feedback(id, () => this.again());
    this.view.addEventListener("span", ({ detail }) => {
      stay(`/trace/${id}`, { span: detail });
      const span = this.trace?.spans.find((each) => each.id === detail);
      if (span) this.feedback.select(span);
    });
    this.element = h("div", { class: "page whole" }, this.view, this.feedback.element);
  }

  async refresh() {
    if (this.ended && this.looks++ % EVERY) return;
    /** @type {Trace} */
    const trace = await get(`traces/${this.id}`);
    this.ended = trace.state !== "IN_PROGRESS";
    const shown = JSON.stringify(trace);
    if (shown === this.shown && this.ended) return;
    this.shown = shown;
    this.trace = trace;
    document.title = `${trace.name} · spanlog`;
    this.view.show(sourceOf(trace), { select: this.selected });
    this.feedback.show(trace.assessments);
  }

  again() {
    this.ended = false;
    return this.refresh();
  }
}

/**
 * @typedef {object} Figure
 * @property {string} title
 * @property {(trace: Trace) => number | null} of
 * @property {(figure: number) => string} words
 */

/** @type {Figure[]} */
const FIGURES = [
  { title: "Duration", of: (trace) => trace.took, words: duration },
  { title: "Spans", of: (trace) => trace.spans.length, words: number },
  {
    title: "Errors",
    of: (trace) => trace.spans.filter((span) => span.error).length,
    words: number,
  },
  { title: "Input tokens", of: (trace) => trace.usage?.input_tokens ?? 0, words: number },
  { title: "Output tokens", of: (trace) => trace.usage?.output_tokens ?? 0, words: number },
  { title: "Cost", of: (trace) => trace.cost, words: money },
];

/** @type {(one: number | null, two: number | null) => string} */
function change(one, two) {
  if (!one || two === null) return "";
  return `${two >= one ? "+" : ""}${(((two - one) / one) * 100).toFixed(0)} %`;
}

/**
 * @param {string} title
 * @param {string[]} figures
 */
function figuresRow(title, figures) {
  const cells = figures.map((figure) => h("td", {}, figure));
  return h("tr", {}, h("th", {}, title), cells);
}

export class ComparePage {
  /** @type {Trace[]} */
  traces = [];
  /** Whether a span is being selected here, and not by the reader. */
  following = false;

  /**
   * @param {URLSearchParams} _query
   * @param {string[]} ids
   */
  constructor(_query, ...ids) {
    this.ids = ids;
    this.views = ids.map(() => h("spanlog-trace"));
    this.figures = h("table", { class: "figures" });
    this.element = h(
      "div",
      { class: "page whole" },
      this.figures,
      h("div", { class: "two" }, this.views),
    );
    for (const [n, view] of this.views.entries())
      view.addEventListener("span", (event) => this.follow(n, event.detail));
  }

  async refresh() {
    if (this.traces.length) return;
    this.traces = await Promise.all(this.ids.map((id) => get(`traces/${id}`)));
    this.following = true;
    for (const [n, view] of this.views.entries()) view.show(sourceOf(this.traces[n]));
    this.following = false;
    const [left, right] = this.traces;
    const titles = FIGURES.map(({ title }) => h("th", {}, title));
    const row = (/** @type {string} */ title, /** @type {Trace} */ trace) =>
      figuresRow(
        title,
        FIGURES.map(({ of, words }) => {
          const figure = of(trace);
          return figure === null ? "–" : words(figure);
        }),
      );
    const changes = FIGURES.map(({ of }) => change(of(left), of(right)));
    this.figures.replaceChildren(
      h("tr", {}, h("th"), titles),
      row("left", left),
      row("right", right),
      figuresRow("change", changes),
    );
  }

  /**
   * What is selected on one side is looked for on the other: the same name, as often before.
   *
   * @param {number} n Of the side where it was selected.
   * @param {string} id Of the span.
   */
  follow(n, id) {
    if (this.following) return;
    const { spans } = this.traces[n];
    const name = spans.find((span) => span.id === id)?.name;
    const place = spans.filter((span) => span.name === name).findIndex((span) => span.id === id);
    const others = [...this.traces[1 - n].spans.entries()].filter(([, span]) => span.name === name);
    const index = others[place]?.[0];
    if (index === undefined) return;
    this.following = true;
    this.views[1 - n].tree.select(index);
    this.following = false;
  }
}
