// Conversations: the traces that share a session id.
import { duration, h, moment, number } from "/view/dom.js";
import { TraceView } from "/view/trace.js";
import { value } from "/view/values.js";
import { Choice, get, go } from "./api.js";
import { Paged } from "./paged.js";

/**
 * @import { Json } from "/view/types.js"
 * @import { Session, TraceRow, Turn } from "./types.js"
 */

/** @param {TraceRow[]} traces */
const tokensOf = (traces) =>
  traces.reduce((sum, trace) => sum + (trace.usage?.total_tokens ?? 0), 0);

/** @param {(string | false | null)[]} figures */
const inLine = (figures) => figures.filter(Boolean).join("  ·  ");

export class SessionsPage {
  /** @param {URLSearchParams} query */
  constructor(query) {
    this.choice = new Choice(query, "/sessions", () => this.paged.again(), { status: false });
    /** @type {Paged<Session>} */
    this.paged = new Paged({
      ask: (token) => this.choice.get("sessions", { token }),
      row: drawSession,
      box: h("div", { class: "sessions" }),
      none:
        "No session here. spanlog.update_current_trace(session_id=…) names the conversation " +
        "that a trace belongs to.",
    });
    this.element = h(
      "div",
      { class: "page" },
      this.choice.element,
      this.paged.box,
      this.paged.after,
    );
  }

  refresh() {
    return this.paged.refresh();
  }
}

/** @param {Session} session */
function drawSession({ id, traces }) {
  const last = traces.at(-1);
  const failed = traces.filter((trace) => trace.state === "ERROR").length;
  const tokens = tokensOf(traces);
  const figures = [
    `${number(traces.length)} trace${traces.length === 1 ? "" : "s"}`,
    tokens > 0 && `${number(tokens)} tokens`,
    failed > 0 && `${number(failed)} failed`,
    last ? moment(last.time) : null,
  ];
  return h(
    "a",
    { class: "session", href: go("/session", { id }) },
    h("b", {}, id),
    h("span", {}, inLine(figures)),
    h("p", {}, last?.request),
  );
}

export class SessionPage {
  /** The traces that are shown, as JSON. */
  shown = "";

  /** @param {URLSearchParams} query */
  constructor(query) {
    this.id = query.get("id") ?? "";
    this.talk = h("div", { class: "talk" });
    this.element = h("div", { class: "page" }, h("h2", {}, this.id), this.talk);
  }

  async refresh() {
    /** @type {Turn[]} */
    const traces = await get("session", { id: this.id });
    const shown = JSON.stringify(traces);
    if (shown === this.shown) return;
    this.shown = shown;
    this.talk.replaceChildren(...traces.flatMap(drawTurn));
  }
}

/** @param {Turn} trace */
function drawTurn(trace) {
  const figures = [
    moment(trace.time),
    trace.took !== null && duration(trace.took * 1e6),
    trace.usage && `${number(trace.usage.total_tokens ?? 0)} tokens`,
    trace.state === "ERROR" && "failed",
  ];
  const link = h(
    "a",
    { class: "of", href: go(`/trace/${trace.id}`) },
    h("b", {}, trace.name),
    h("span", { class: trace.state }, inLine(figures)),
  );
  const outputs = trace.outputs === null ? [] : [drawSide(trace.outputs, "answered")];
  return [link, drawSide(trace.inputs, "asked"), ...outputs];
}

/**
 * Draw data in a frame of its own, with the style of the view.
 *
 * @param {Json} data
 * @param {"asked" | "answered"} side
 */
function drawSide(data, side) {
  const box = h("div", { class: `turn ${side}` });
  const root = box.attachShadow({ mode: "open" });
  root.adoptedStyleSheets = [TraceView.sheet];
  root.append(value(data, {}, []));
  return box;
}
