// Charts in plain SVG.
import { duration, h, moment, money, number } from "/view/dom.js";
import { Choice } from "./api.js";

const [WIDE, HIGH] = [560, 150];
const BARS = 500; // of the list: more are no wider than a pixel

function svg(tag, props = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(props)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const sum = (values) => values.reduce((all, one) => all + (one ?? 0), 0);

// `series` is a list of [name, values, class]; bars stand on one another, lines do not. `at(n)`
// says of what the values at a place are.
function plot(title, series, words, at, { lines = false, wide = WIDE, high = HIGH } = {}) {
  const count = series[0][1].length;
  const stacks = Array.from({ length: count }, (_, n) =>
    series.map(([, values]) => values[n] ?? 0),
  );
  const top = Math.max(...stacks.map((each) => (lines ? Math.max(...each) : sum(each))), 0) || 1;
  const step = wide / count;
  const y = (value) => high - (value / top) * (high - 4);
  const picture = svg("svg", {
    viewBox: `0 0 ${wide} ${high}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": title,
  });
  if (lines) {
    for (const [, values, class_] of series) {
      const points = values.flatMap((value, n) =>
        value == null ? [] : [`${((n + 0.5) * step).toFixed(1)},${y(value).toFixed(1)}`],
      );
      picture.append(svg("polyline", { points: points.join(" "), class: class_ }));
      for (const point of points) {
        const [cx, cy] = point.split(",");
        picture.append(svg("line", { x1: cx, x2: cx, y1: cy, y2: cy, class: `${class_} dot` }));
      }
    }
  } else {
    stacks.forEach((stack, n) => {
      let base = 0;
      stack.forEach((value, m) => {
        if (value)
          picture.append(
            svg("rect", {
              x: (n * step + step * 0.1).toFixed(2),
              width: (step * 0.8).toFixed(2),
              y: y(base + value).toFixed(2),
              height: (high - y(value)).toFixed(2),
              class: series[m][2],
            }),
          );
        base += value;
      });
    });
  }
  const tip = h("div", { class: "tip", hidden: true });
  const box = h("div", { class: "plot" }, picture, tip);
  box.addEventListener("pointermove", (event) => {
    const { left, width } = box.getBoundingClientRect();
    const n = Math.min(
      Math.max(Math.floor(((event.clientX - left) / width) * count), 0),
      count - 1,
    );
    tip.hidden = false;
    tip.style.left = `${Math.min(((n + 0.5) / count) * 100, 75)}%`;
    tip.replaceChildren(
      h("b", {}, at(n)),
      ...series.map(([name, values]) =>
        h("div", {}, `${name}: ${values[n] == null ? "–" : words(values[n])}`),
      ),
    );
  });
  box.addEventListener("pointerleave", () => (tip.hidden = true));
  return [box, top];
}

function chart(got, title, series, words, options) {
  const count = got.traces.length;
  if (!series.length) return "";
  const [box, top] = plot(title, series, words, (n) => moment(got.begin + n * got.step), options);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("b", {}, title), h("span", {}, `up to ${words(top)}`)),
    box,
    h(
      "div",
      { class: "axis" },
      h("span", {}, moment(got.begin)),
      h("span", {}, moment(got.begin + count * got.step)),
    ),
    series.length > 1 &&
      h(
        "div",
        { class: "legend" },
        series.map(([name, , class_]) => h("span", {}, h("i", { class: class_ }), name)),
      ),
  );
}

const ms = (value) => duration(value * 1e6);

// How long the traces of the list took and what they used, the oldest first.
export function sparks(traces) {
  const shown = traces.slice(0, BARS).sort((one, two) => one.time - two.time);
  if (shown.length < 2) return [];
  const of = (n) => `${shown[n].name}  ${moment(shown[n].time)}`;
  const small = { wide: 600, high: 34 };
  const took = shown.map((trace) => trace.took);
  const half = took.filter((each) => each !== null).sort((one, two) => one - two);
  const tokens = shown.map((trace) => trace.usage?.total_tokens ?? null);
  const of_state = (failed) =>
    shown.map((trace) => ((trace.state === "ERROR") === failed ? trace.took : null));
  const spark = (title, figure, ...rest) =>
    h(
      "div",
      { class: "spark" },
      h("span", {}, title, " ", h("b", {}, figure)),
      plot(title, ...rest, of, small)[0],
    );
  return [
    spark(
      "Duration, half below",
      half.length ? ms(half[Math.floor((half.length - 1) / 2)]) : "–",
      [
        ["took", of_state(false), "model"],
        ["failed after", of_state(true), "error"],
      ],
      ms,
    ),
    spark("Tokens", number(sum(tokens)), [["tokens", tokens, "agent"]], number),
  ];
}

const counts = (got) => [
  ["OK", got.traces.map((all, n) => all - got.errors[n]), "good"],
  ["failed", got.errors, "error"],
];

export class ChartsPage {
  constructor(asked) {
    this.choice = new Choice(asked, "/charts", () => this.draw(), { range: "1440" });
    this.looks = 0;
    this.charts = h("div", { class: "charts" });
    this.element = h("div", { class: "page" }, this.choice.element, this.charts);
  }

  // Charts read much, so they look for what is new less often.
  async refresh() {
    if (this.looks++ % 5 === 0) await this.draw();
  }

  async draw() {
    const got = await this.choice.get("charts");
    const shown = JSON.stringify(got);
    if (!got || shown === this.shown) return;
    this.shown = shown;
    const hues = ["model", "agent", "tool", "search", "check", "other"];
    const models = (figures) =>
      Object.entries(figures).map(([name, values], n) => [name, values, hues[n]]);
    const drawn = [
      chart(got, "Traces", counts(got), number),
      chart(
        got,
        "Share that failed",
        [
          [
            "failed",
            got.traces.map((all, n) => (all ? (got.errors[n] / all) * 100 : null)),
            "error",
          ],
        ],
        (value) => `${value.toFixed(value < 9.95 ? 1 : 0)} %`,
      ),
      chart(
        got,
        "Duration",
        Object.entries(got.durations).map(([name, values], n) => [
          name,
          values,
          ["search", "model", "agent"][n],
        ]),
        ms,
        { lines: true },
      ),
      chart(got, "Tokens by model", models(got.tokens), number),
    ];
    if (sum(Object.values(got.cost).flat()))
      drawn.push(chart(got, "Cost by model", models(got.cost), money));
    this.charts.replaceChildren(...drawn);
  }
}
