// The page of one trace, and of two beside each other.
import { duration, h, icon, money, number } from "/view/dom.js";
import { get, stay } from "./api.js";
import { Feedback } from "./feedback.js";

function source(trace) {
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
  constructor(asked, id) {
    this.id = id;
    this.select = asked.get("span");
    this.view = h("spanlog-trace");
    this.feedback = new Feedback(id, () => this.again());
    this.view.addEventListener("span", ({ detail }) => {
      stay(`/trace/${id}`, { span: detail });
      this.feedback.select(this.trace.spans.find((span) => span.id === detail));
    });
    this.element = h("div", { class: "page whole" }, this.view, this.feedback.element);
  }

  async refresh() {
    if (this.done && this.idle++ % 5) return; // an ended trace may still be judged or tagged
    const trace = await get(`traces/${this.id}`);
    this.done = trace.state !== "IN_PROGRESS";
    this.idle ??= 1;
    const shown = JSON.stringify(trace);
    if (shown === this.shown && this.done) return;
    this.shown = shown;
    this.trace = trace;
    document.title = `${trace.name} · spanlog`;
    this.view.show(source(trace), { select: this.select });
    this.feedback.show(trace.assessments);
  }

  again() {
    this.done = false;
    return this.refresh();
  }
}

export class ComparePage {
  constructor(_asked, ...ids) {
    this.ids = ids;
    this.views = ids.map(() => h("spanlog-trace"));
    this.figures = h("table", { class: "figures" });
    this.element = h(
      "div",
      { class: "page whole" },
      this.figures,
      h("div", { class: "two" }, this.views),
    );
    // What is chosen on one side is looked for on the other: the same name, as often before.
    this.views.forEach((view, n) =>
      view.addEventListener("span", (event) => this.follow(n, event.detail)),
    );
  }

  async refresh() {
    if (this.traces) return;
    this.traces = await Promise.all(this.ids.map((id) => get(`traces/${id}`)));
    this.following = true;
    this.views.forEach((view, n) => view.show(source(this.traces[n])));
    this.following = false;
    const failed = (trace) => trace.spans.filter((span) => span.error).length;
    const figures = [
      ["Duration", (trace) => trace.took, duration],
      ["Spans", (trace) => trace.spans.length, number],
      ["Errors", failed, number],
      ["Input tokens", (trace) => trace.usage?.input_tokens ?? 0, number],
      ["Output tokens", (trace) => trace.usage?.output_tokens ?? 0, number],
      ["Cost", (trace) => trace.cost, money],
    ];
    const change = ([, figure]) => {
      const [one, two] = this.traces.map(figure);
      return one && two != null
        ? `${two >= one ? "+" : ""}${(((two - one) / one) * 100).toFixed(0)} %`
        : "";
    };
    this.figures.replaceChildren(
      h(
        "tr",
        {},
        h("th"),
        figures.map(([title]) => h("th", {}, title)),
      ),
      ...this.traces.map((trace, n) =>
        h(
          "tr",
          {},
          h("th", {}, ["left", "right"][n]),
          figures.map(([, figure, words]) =>
            h("td", {}, figure(trace) == null ? "–" : words(figure(trace))),
          ),
        ),
      ),
      h(
        "tr",
        {},
        h("th", {}, "change"),
        figures.map((each) => h("td", {}, change(each))),
      ),
    );
  }

  follow(n, id) {
    if (this.following) return;
    const spans = this.traces[n].spans;
    const { name } = spans.find((span) => span.id === id);
    const before = spans.filter((span) => span.name === name).findIndex((span) => span.id === id);
    const other = this.traces[1 - n].spans
      .map((span, index) => [span, index])
      .filter(([span]) => span.name === name)[before];
    if (!other) return;
    this.following = true;
    this.views[1 - n].tree.select(other[1]);
    this.following = false;
  }
}
