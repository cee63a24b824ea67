// The list of traces.
import { duration, h, icon, moment, money, number, STATES } from "/view/dom.js";
import { Choice, go } from "./api.js";
import { sparks } from "./charts.js";
import { Paged } from "./paged.js";

/** @import { TraceRow } from "./types.js" */

// Titles, and what the server orders by.
const COLUMNS = [
  ["", ""],
  ["Time", "timestamp_ms"],
  ["Name", "name"],
  ["Request and response", ""],
  ["Duration", "execution_time_ms"],
  ["Tokens", "tokens"],
  ["Cost", "cost"],
  ["", ""],
];
const TAGS = 3; // that a row shows
const TAG = 40; // characters of one
const FEEDBACK = 2; // that a row shows
const VALUE = 30; // characters of one

export class ListPage {
  /** @type {Set<string>} The ids of the traces that are to be compared. */
  picked = new Set();
  field = "timestamp_ms";
  descending = true;

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.choice = new Choice(query, "/", () => this.paged.again());
    this.sparks = h("div", { class: "sparks" });
    this.head = h("tr");
    /** @type {Paged<TraceRow>} */
    this.paged = new Paged({
      ask: (token) => this.choice.get("traces", { order: this.order, token }),
      row: (trace) => this.row(trace),
      box: h("tbody"),
      none: "No trace fits. Traces appear here as soon as a program records them.",
      drawn: (traces) => this.sparks.replaceChildren(...sparks(traces)),
    });
    const compare = () => {
      location.hash = go(`/compare/${[...this.picked].join("/")}`);
    };
    this.compare = h(
      "button",
      { class: "compare", hidden: true, onclick: compare },
      "Compare the two",
    );
    this.element = h(
      "div",
      { class: "page" },
      this.choice.element,
      this.sparks,
      this.compare,
      h("table", { class: "traces" }, h("thead", {}, this.head), this.paged.box),
      this.paged.after,
    );
    this.drawHead();
  }

  get order() {
    return `${this.field} ${this.descending ? "DESC" : "ASC"}`;
  }

  drawHead() {
    this.head.replaceChildren(...COLUMNS.map(([title, field]) => this.column(title, field)));
  }

  /**
   * @param {string} title
   * @param {string} field
   */
  column(title, field) {
    if (!field) return h("th", {}, title);
    const turn = () => {
      this.descending = this.field !== field || !this.descending;
      this.field = field;
      this.drawHead();
      this.paged.again();
    };
    if (this.field !== field)
      return h("th", { class: field }, h("button", { onclick: turn }, title));
    const [sort, arrow] = this.descending ? ["descending", "↓"] : ["ascending", "↑"];
    return h(
      "th",
      { class: field, "aria-sort": sort },
      h("button", { onclick: turn }, `${title} ${arrow}`),
    );
  }

  refresh() {
    return this.paged.refresh();
  }

  /** @param {TraceRow} trace */
  row(trace) {
    const address = go(`/trace/${trace.id}`);
    const pick = h("input", {
      type: "checkbox",
      "aria-label": `Compare ${trace.name}`,
      onchange: () => {
        this.pick(trace.id, pick.checked);
      },
    });
    pick.checked = this.picked.has(trace.id);
    const figure = { class: "figure" };
    const row = h(
      "tr",
      { class: trace.state },
      h("td", { class: "state" }, h("i", { title: STATES[trace.state] }), pick),
      h("td", { class: "time" }, moment(trace.time)),
      h("td", { class: "name" }, h("a", { href: address }, trace.name ?? "trace")),
      h(
        "td",
        { class: "said" },
        h("span", { class: "marks" }, marks(trace)),
        h("span", {}, trace.request),
        trace.response && h("span", { class: "response" }, trace.response),
      ),
      h("td", figure, took(trace)),
      h("td", figure, trace.usage && number(trace.usage.total_tokens ?? 0)),
      h("td", figure, money(trace.cost)),
      h("td"),
    );
    row.addEventListener("click", (event) => {
      if (!(/** @type {Element} */ (event.target).closest("a, input"))) location.hash = address;
    });
    return row;
  }

  /**
   * @param {string} id
   * @param {boolean} on
   */
  pick(id, on) {
    if (on) this.picked.add(id);
    else this.picked.delete(id);
    this.compare.hidden = this.picked.size !== 2;
  }
}

/** @param {TraceRow} trace */
function took(trace) {
  if (trace.took === null) return STATES[trace.state];
  return trace.took < 1 ? "<1 ms" : duration(trace.took * 1e6);
}

/** @param {TraceRow} trace */
function marks({ session, tags, feedback }) {
  return [
    session && h("a", { class: "mark", href: go("/session", { id: session }) }, session),
    ...Object.entries(tags)
      .slice(0, TAGS)
      .map(([key, value]) => h("span", { class: "mark" }, `${key}: ${value.slice(0, TAG)}`)),
    ...feedback.slice(0, FEEDBACK).map(({ name, value }) => {
      const shown =
        typeof value === "boolean"
          ? icon(value ? "good" : "bad")
          : `${name}: ${JSON.stringify(value).slice(0, VALUE)}`;
      return h("span", { class: "mark said" }, shown);
    }),
  ];
}
