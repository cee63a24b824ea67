// The list of traces.
import { duration, h, icon, moment, money, number, STATES } from "/view/dom.js";
import { Choice, go } from "./api.js";
import { sparks } from "./charts.js";

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

export class ListPage {
  constructor(asked) {
    this.order = ["timestamp_ms", "DESC"];
    this.picked = new Set();
    this.rows = null; // by the ids of the traces, in their order; null before there was an answer
    this.deep = false; // whether more than the first page is shown
    this.choice = new Choice(asked, "/", () => this.again());
    this.sparks = h("div", { class: "sparks" });
    this.head = h("tr");
    this.body = h("tbody", {});
    this.note = h("p", { class: "note" });
    this.more = h("button", { class: "more", hidden: true, onclick: () => this.next() }, "Show more");
    this.compare = h("button", { class: "compare", hidden: true, onclick: () => (location.hash = go(`/compare/${[...this.picked].join("/")}`)) }, "Compare the two");
    this.element = h("div", { class: "page" }, this.choice.element, this.sparks, this.compare, h("table", { class: "traces" }, h("thead", {}, this.head), this.body), this.note, this.more);
    this.drawHead();
  }

  // Begin anew: something else is asked for.
  again() {
    this.rows = null;
    this.deep = false;
    this.turn = {};
    this.refresh();
  }

  drawHead() {
    this.head.replaceChildren(
      ...COLUMNS.map(([title, field]) => {
        if (!field) return h("th", {}, title);
        const [by, direction] = this.order;
        const turn = () => {
          this.order = [field, by === field && direction === "DESC" ? "ASC" : "DESC"];
          this.drawHead();
          this.again();
        };
        const arrow = by === field ? (direction === "DESC" ? " ↓" : " ↑") : "";
        return h("th", { class: field, "aria-sort": by === field ? (direction === "DESC" ? "descending" : "ascending") : null }, h("button", { onclick: turn }, title + arrow));
      }),
    );
  }

  ask(token) {
    return this.choice.get("traces", { order: this.order.join(" "), token });
  }

  // Look for what is new: the first page, and as many more as it takes to reach what is shown.
  async refresh() {
    const { turn } = this;
    const newest = [];
    let got;
    do {
      got = await this.ask(got?.token);
      if (!got || turn !== this.turn) return;
      newest.push(...got.traces);
    } while (this.deep && got.token && !got.traces.some(({ id }) => this.rows.has(id)));
    const rows = this.rowsOf(newest);
    if (!this.deep) this.token = got.token;
    else for (const [id, row] of this.rows) if (!rows.has(id)) rows.set(id, row);
    this.draw(rows);
  }

  async next() {
    if (!this.rows) return;
    const { turn } = this;
    this.deep = true;
    const got = await this.ask(this.token);
    if (!got || turn !== this.turn) return;
    this.token = got.token;
    this.draw(new Map([...this.rows, ...this.rowsOf(got.traces)]), { fresh: false });
  }

  // The rows of traces, by their ids; those that are shown already as they are.
  rowsOf(traces) {
    return new Map(
      traces.map((trace) => {
        const shown = JSON.stringify(trace);
        const before = this.rows?.get(trace.id);
        return [trace.id, before?.shown === shown ? before : { trace, shown, element: this.row(trace) }];
      }),
    );
  }

  draw(rows, { fresh = true } = {}) {
    const shown = [...rows.values()];
    const before = this.rows && [...this.rows.values()];
    if (before?.length === shown.length && shown.every((row, n) => row === before[n])) return;
    for (const [id, { element }] of rows) element.classList.toggle("fresh", fresh && this.rows !== null && !this.rows.has(id));
    this.rows = rows;
    this.body.replaceChildren(...shown.map(({ element }) => element));
    this.more.hidden = !this.token;
    this.note.textContent = shown.length ? "" : "No trace fits. Traces appear here as soon as a program records them.";
    this.sparks.replaceChildren(...sparks(shown.map(({ trace }) => trace)));
  }

  row(trace) {
    const open = () => (location.hash = `#/trace/${trace.id}`);
    const pick = h("input", { type: "checkbox", "aria-label": `Compare ${trace.name}`, onchange: () => this.pick(trace.id, pick.checked) });
    pick.checked = this.picked.has(trace.id);
    const link = h("a", { href: `#/trace/${trace.id}` }, trace.name ?? "trace");
    const marks = [
      trace.session && h("a", { class: "mark", href: go("/session", { id: trace.session }) }, trace.session),
      ...Object.entries(trace.tags).slice(0, 3).map(([key, value]) => h("span", { class: "mark" }, `${key}: ${value.slice(0, 40)}`)),
      ...trace.feedback.slice(0, 2).map(({ name, value }) => h("span", { class: "mark said" }, typeof value === "boolean" ? icon(value ? "good" : "bad") : `${name}: ${JSON.stringify(value).slice(0, 30)}`)),
    ];
    const row = h(
      "tr",
      { class: trace.state },
      h("td", { class: "state" }, h("i", { title: STATES[trace.state] }), pick),
      h("td", { class: "time" }, moment(trace.time)),
      h("td", { class: "name" }, link),
      h("td", { class: "said" }, h("span", { class: "marks" }, marks), h("span", {}, trace.request ?? ""), trace.response && h("span", { class: "response" }, trace.response)),
      h("td", { class: "figure" }, trace.took === null ? STATES[trace.state] : trace.took < 1 ? "<1 ms" : duration(trace.took * 1e6)),
      h("td", { class: "figure" }, trace.usage ? number(trace.usage.total_tokens ?? 0) : ""),
      h("td", { class: "figure" }, money(trace.cost)),
      h("td"),
    );
    row.addEventListener("click", (event) => event.target.closest("a, input") || open());
    return row;
  }

  pick(id, on) {
    this.picked[on ? "add" : "delete"](id);
    this.compare.hidden = this.picked.size !== 2;
  }
}
