// The list of traces.
import { duration, h, icon, moment, money, number, STATES } from "/view/dom.js";
import { Choice, go } from "./api.js";
import { sparks } from "./charts.js";
import { Paged } from "./paged.js";

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
    this.choice = new Choice(asked, "/", () => this.paged.again());
    this.sparks = h("div", { class: "sparks" });
    this.head = h("tr");
    this.paged = new Paged({
      ask: (token) => this.choice.get("traces", { order: this.order.join(" "), token }),
      row: (trace) => this.row(trace),
      box: h("tbody"),
      none: "No trace fits. Traces appear here as soon as a program records them.",
      drawn: (traces) => this.sparks.replaceChildren(...sparks(traces)),
    });
    this.compare = h(
      "button",
      {
        class: "compare",
        hidden: true,
        onclick: () => (location.hash = go(`/compare/${[...this.picked].join("/")}`)),
      },
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

  drawHead() {
    this.head.replaceChildren(
      ...COLUMNS.map(([title, field]) => {
        if (!field) return h("th", {}, title);
        const [by, direction] = this.order;
        const turn = () => {
          this.order = [field, by === field && direction === "DESC" ? "ASC" : "DESC"];
          this.drawHead();
          this.paged.again();
        };
        const arrow = by === field ? (direction === "DESC" ? " ↓" : " ↑") : "";
        return h(
          "th",
          {
            class: field,
            "aria-sort": by === field ? (direction === "DESC" ? "descending" : "ascending") : null,
          },
          h("button", { onclick: turn }, title + arrow),
        );
      }),
    );
  }

  refresh() {
    return this.paged.refresh();
  }

  row(trace) {
    const open = () => (location.hash = `#/trace/${trace.id}`);
    const pick = h("input", {
      type: "checkbox",
      "aria-label": `Compare ${trace.name}`,
      onchange: () => this.pick(trace.id, pick.checked),
    });
    pick.checked = this.picked.has(trace.id);
    const link = h("a", { href: `#/trace/${trace.id}` }, trace.name ?? "trace");
    const marks = [
      trace.session &&
        h("a", { class: "mark", href: go("/session", { id: trace.session }) }, trace.session),
      ...Object.entries(trace.tags)
        .slice(0, 3)
        .map(([key, value]) => h("span", { class: "mark" }, `${key}: ${value.slice(0, 40)}`)),
      ...trace.feedback
        .slice(0, 2)
        .map(({ name, value }) =>
          h(
            "span",
            { class: "mark said" },
            typeof value === "boolean"
              ? icon(value ? "good" : "bad")
              : `${name}: ${JSON.stringify(value).slice(0, 30)}`,
          ),
        ),
    ];
    const row = h(
      "tr",
      { class: trace.state },
      h("td", { class: "state" }, h("i", { title: STATES[trace.state] }), pick),
      h("td", { class: "time" }, moment(trace.time)),
      h("td", { class: "name" }, link),
      h(
        "td",
        { class: "said" },
        h("span", { class: "marks" }, marks),
        h("span", {}, trace.request ?? ""),
        trace.response && h("span", { class: "response" }, trace.response),
      ),
      h(
        "td",
        { class: "figure" },
        trace.took === null
          ? STATES[trace.state]
          : trace.took < 1
            ? "<1 ms"
            : duration(trace.took * 1e6),
      ),
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
