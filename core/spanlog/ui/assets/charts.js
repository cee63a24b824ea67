// Charts in plain SVG.
import { duration, h, moment, money, number } from "/view/dom.js";
import { Choice } from "./api.js";

/** @import { Figures, Series, TraceRow } from "./types.js" */

/** @typedef {{ lines?: boolean, wide?: number, high?: number }} Options */

const WIDE = 560; // pixels of a chart
const HIGH = 150;
const SPARK = { wide: 600, high: 34 }; // pixels of a small one
const TOP = 4; // pixels that are left free above the highest value
const BARS = 500; // of the list: more are no wider than a pixel
const EVERY = 5; // charts read much, so they look for what is new less often than other pages
const HUES = ["model", "agent", "tool", "search", "check", "other"]; // of models
const DURATION_HUES = ["search", "model", "agent"]; // of percentiles

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} attributes
 * @param {Node[]} children
 */
function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {(number | null)[]} values */
const sum = (values) => values.reduce((/** @type {number} */ all, one) => all + (one ?? 0), 0);

/**
 * Draw series as bars that stand on one another, or as lines. Return also the highest value.
 *
 * @param {string} title
 * @param {Series[]} series
 * @param {(value: number) => string} words
 * @param {(n: number) => string} at Says what the values at a place are of.
 * @param {Options} [options] Width and height are in pixels.
 * @returns {[Element, number]}
 */
function plot(title, series, words, at, { lines = false, wide = WIDE, high = HIGH } = {}) {
  const count = series[0].values.length;
  const stacks = Array.from({ length: count }, (_, n) =>
    series.map(({ values }) => values[n] ?? 0),
  );
  const top = Math.max(...stacks.map((each) => (lines ? Math.max(...each) : sum(each))), 0) || 1;
  const step = wide / count;
  const y = (/** @type {number} */ value) => high - (value / top) * (high - TOP);
  const picture = svg(
    "svg",
    {
      viewBox: `0 0 ${wide} ${high}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": title,
    },
    ...(lines
      ? series.flatMap((each) => line(each, step, y))
      : stacks.flatMap((stack, n) => bars(stack, n, series, step, high, y))),
  );
  const tip = h("div", { class: "tip", hidden: true });
  const box = h("div", { class: "plot" }, picture, tip);
  box.addEventListener("pointermove", (event) => {
    const { left, width } = box.getBoundingClientRect();
    const pointed = Math.floor(((event.clientX - left) / width) * count);
    const n = Math.min(Math.max(pointed, 0), count - 1);
    tip.hidden = false;
    tip.style.left = `${Math.min(((n + 0.5) / count) * 100, 75)}%`;
    const figures = series.map(({ name, values }) => {
      const value = values[n];
      return h("div", {}, `${name}: ${value == null ? "–" : words(value)}`);
    });
    tip.replaceChildren(h("b", {}, at(n)), ...figures);
  });
  box.addEventListener("pointerleave", () => {
    tip.hidden = true;
  });
  return [box, top];
}

/**
 * Draw values as a line with a dot at each.
 *
 * @param {Series} series
 * @param {number} step
 * @param {(value: number) => number} y
 */
function line({ values, hue }, step, y) {
  const points = values.flatMap((value, n) =>
    value == null ? [] : [[((n + 0.5) * step).toFixed(1), y(value).toFixed(1)]],
  );
  const dots = points.map(([cx, cy]) =>
    svg("line", { x1: cx, x2: cx, y1: cy, y2: cy, class: `${hue} dot` }),
  );
  const corners = points.map((point) => point.join(",")).join(" ");
  return [svg("polyline", { points: corners, class: hue }), ...dots];
}

/**
 * Draw the values at one place on one another.
 *
 * @param {number[]} stack
 * @param {number} n
 * @param {Series[]} series
 * @param {number} step
 * @param {number} high
 * @param {(value: number) => number} y
 */
function bars(stack, n, series, step, high, y) {
  let base = 0;
  return stack.flatMap((value, place) => {
    base += value;
    if (!value) return [];
    const x = (n * step + step * 0.1).toFixed(2);
    const width = (step * 0.8).toFixed(2);
    const height = (high - y(value)).toFixed(2);
    return [svg("rect", { x, width, y: y(base).toFixed(2), height, class: series[place].hue })];
  });
}

/**
 * @param {Figures} figures
 * @param {string} title
 * @param {Series[]} series
 * @param {(value: number) => string} words
 * @param {Options} [options]
 */
function chart({ begin, step, traces }, title, series, words, options) {
  if (!series.length) return "";
  const at = (/** @type {number} */ n) => moment(begin + n * step);
  const [box, top] = plot(title, series, words, at, options);
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", {}, h("b", {}, title), h("span", {}, `up to ${words(top)}`)),
    box,
    h("div", { class: "axis" }, h("span", {}, at(0)), h("span", {}, at(traces.length))),
    series.length > 1 &&
      h(
        "div",
        { class: "legend" },
        series.map(({ name, hue }) => h("span", {}, h("i", { class: hue }), name)),
      ),
  );
}

/** @param {number} value In milliseconds. */
const ms = (value) => duration(value * 1e6);

/**
 * Draw how long the traces of the list took and what they used, the oldest first.
 *
 * @param {TraceRow[]} traces
 */
export function sparks(traces) {
  const shown = traces.slice(0, BARS).sort((one, two) => one.time - two.time);
  if (shown.length < 2) return [];
  const at = (/** @type {number} */ n) => `${shown[n].name}  ${moment(shown[n].time)}`;
  const took = shown.flatMap((trace) => trace.took ?? []).sort((one, two) => one - two);
  const median = took.length ? ms(took[Math.floor((took.length - 1) / 2)]) : "–";
  const tookOf = (/** @type {boolean} */ failed) =>
    shown.map((trace) => ((trace.state === "ERROR") === failed ? trace.took : null));
  const durations = [
    { name: "took", values: tookOf(false), hue: "model" },
    { name: "failed after", values: tookOf(true), hue: "error" },
  ];
  const tokens = shown.map((trace) => trace.usage?.total_tokens ?? null);
  /**
   * @param {string} title
   * @param {string} figure
   * @param {Series[]} series
   * @param {(value: number) => string} words
   */
  const spark = (title, figure, series, words) => {
    const [box] = plot(title, series, words, at, SPARK);
    return h("div", { class: "spark" }, h("span", {}, title, " ", h("b", {}, figure)), box);
  };
  return [
    spark("Duration, half below", median, durations, ms),
    spark(
      "Tokens",
      number(sum(tokens)),
      [{ name: "tokens", values: tokens, hue: "agent" }],
      number,
    ),
  ];
}

/**
 * @param {Record<string, (number | null)[]>} figures
 * @param {string[]} hues
 * @returns {Series[]}
 */
const seriesOf = (figures, hues) =>
  Object.entries(figures).map(([name, values], n) => ({ name, values, hue: hues[n] }));

/** @param {number} percent */
const share = (percent) => `${percent.toFixed(percent < 9.95 ? 1 : 0)} %`;

/** @param {Figures} figures */
function drawCharts(figures) {
  const { traces, errors, durations, tokens, cost } = figures;
  const counts = [
    { name: "OK", values: traces.map((all, n) => all - errors[n]), hue: "good" },
    { name: "failed", values: errors, hue: "error" },
  ];
  const shares = traces.map((all, n) => (all ? (errors[n] / all) * 100 : null));
  const failed = [{ name: "failed", values: shares, hue: "error" }];
  const drawn = [
    chart(figures, "Traces", counts, number),
    chart(figures, "Share that failed", failed, share),
    chart(figures, "Duration", seriesOf(durations, DURATION_HUES), ms, { lines: true }),
    chart(figures, "Tokens by model", seriesOf(tokens, HUES), number),
  ];
  if (sum(Object.values(cost).flat()))
    drawn.push(chart(figures, "Cost by model", seriesOf(cost, HUES), money));
  return drawn;
}

export class ChartsPage {
  looks = 0;
  /** The figures that are shown, as JSON. */
  shown = "";

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.choice = new Choice(query, "/charts", () => this.draw(), { range: "1440" });
    this.charts = h("div", { class: "charts" });
    this.element = h("div", { class: "page" }, this.choice.element, this.charts);
  }

  async refresh() {
    if (this.looks++ % EVERY === 0) await this.draw();
  }

  async draw() {
    /** @type {Figures | null} */
    const figures = await this.choice.get("charts");
    const shown = JSON.stringify(figures);
    if (!figures || shown === this.shown) return;
    this.shown = shown;
    this.charts.replaceChildren(...drawCharts(figures));
  }
}
