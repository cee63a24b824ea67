// What a span holds: its errors, messages, inputs and outputs, and what else is recorded.
import { assessment } from "./assessment.js";
import { chat } from "./chat.js";
import { copyButton, duration, h, icon, money, number, tokens } from "./dom.js";
import { batches, copyOf, folded, json, plain, section, text, value } from "./values.js";

/**
 * @import {
 *   Assessment, Child, Contents, Failure, Json, Loader, Path, Span, SpanEvent, Tool
 * } from "./types.js"
 */

/**
 * Yield the parts that are to be shown.
 *
 * @param {Span} span
 * @param {Assessment[]} assessments Of the span.
 * @param {Contents} given
 * @param {Loader} loader
 * @param {{ first: boolean, only: boolean }} place Whether it is the first span, and the only one.
 */
export function* contents(span, assessments, given, loader, { first, only }) {
  const { failures = [], messages = [], tools = [], attributes = {}, events = [] } = given;
  yield heading(span, first);
  for (const [n, each] of failures.entries())
    yield failure(each, loader, ["failures", n], { open: only });
  if (assessments.length) {
    const drawn = batches(assessments, (each) => assessment(each));
    yield section("Assessments", drawn);
  }
  if (messages.length) {
    const copied = copyOf(messages, loader, ["messages"]);
    yield section("Messages", chat(messages, loader), copied);
  }
  const recorded = messages.length ? rawSection : plainSection;
  if (given.inputs !== undefined) yield recorded("Inputs", given.inputs, loader, ["inputs"]);
  if (given.outputs !== undefined) yield recorded("Outputs", given.outputs, loader, ["outputs"]);
  if (tools.length)
    yield raw(`Tools offered (${tools.length})`, () =>
      batches(tools, (each, n) => tool(each, loader, ["tools", n])),
    );
  if (events.length)
    yield raw(`Events (${events.length})`, () =>
      batches(events, (each, n) => spanEvent(each, loader, ["events", n])),
    );
  const count = Object.keys(attributes).length;
  if (count) {
    const copied = copyOf(attributes, loader, ["attributes"]);
    yield raw([`Attributes (${count})`, copyButton(copied)], () =>
      json(attributes, loader, ["attributes"]),
    );
  }
  yield h("p", { class: "id" }, "span ", h("code", {}, span.id));
}

/**
 * @param {Span} span
 * @param {boolean} first
 */
function heading(span, first) {
  const reasoning = span.usage?.reasoning_output_tokens;
  const figures = [
    span.end === null ? "not ended" : duration(span.end - span.start),
    !first && `began at ${duration(span.start)}`,
    span.model,
    tokens(span.usage),
    money(span.cost),
    reasoning ? `${number(reasoning)} reasoning` : "",
  ];
  return h(
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
      figures.map((figure) => figure && h("span", {}, figure)),
    ),
  );
}

/**
 * @param {Failure} given
 * @param {Loader} loader
 * @param {Path} path
 * @param {{ open: boolean }} options Whether its stack is unfolded.
 */
function failure({ type, message, stack }, loader, path, { open }) {
  return h(
    "section",
    { class: "failure" },
    h("h4", {}, icon("error"), plain(type) || "Error"),
    text(message, loader, [...path, "message"]),
    stack &&
      folded("Stack", () => text(stack, loader, [...path, "stack"], { mono: true }), { open }),
  );
}

/**
 * @param {Child | Child[]} title
 * @param {() => Node} draw
 */
const raw = (title, draw) => h("section", { class: "raw" }, folded(title, draw));

/**
 * @param {string} title
 * @param {Json} data
 * @param {Loader} loader
 * @param {Path} path
 */
function plainSection(title, data, loader, path) {
  return section(title, value(data, loader, path), copyOf(data, loader, path));
}

/**
 * Draw what the messages above were read from.
 *
 * @param {string} title
 * @param {Json} data
 * @param {Loader} loader
 * @param {Path} path
 */
function rawSection(title, data, loader, path) {
  const button = copyButton(copyOf(data, loader, path));
  return raw([`${title}, as recorded`, button], () => json(data, loader, path));
}

/**
 * @param {Tool} given
 * @param {Loader} loader
 * @param {Path} path
 */
function tool({ name, description, parameters }, loader, path) {
  const title = [h("b", {}, plain(name)), h("span", {}, plain(description))];
  return folded(title, () => json(parameters, loader, [...path, "parameters"]));
}

/**
 * @param {SpanEvent} given
 * @param {Loader} loader
 * @param {Path} path
 */
function spanEvent({ name, time, attributes }, loader, path) {
  return h(
    "div",
    { class: "event" },
    h("h5", {}, h("b", {}, plain(name)), h("span", {}, `+${duration(time)}`)),
    json(attributes, loader, [...path, "attributes"]),
  );
}
