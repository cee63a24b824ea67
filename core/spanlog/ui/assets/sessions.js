// Conversations: the traces that share a session id.
import { duration, h, moment, number } from "/view/dom.js";
import { value } from "/view/values.js";
import { Choice, get, go } from "./api.js";
import { Paged } from "./paged.js";

const tokensOf = (traces) =>
  traces.reduce((sum, trace) => sum + (trace.usage?.total_tokens ?? 0), 0);

export class SessionsPage {
  constructor(asked) {
    this.choice = new Choice(asked, "/sessions", () => this.paged.again(), { status: false });
    this.paged = new Paged({
      ask: (token) => this.choice.get("sessions", { token }),
      row: (session) => this.row(session),
      box: h("div", { class: "sessions" }),
      none: "No session here. spanlog.update_current_trace(session_id=…) names the conversation that a trace belongs to.",
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

  row({ id, traces }) {
    const last = traces.at(-1);
    const failed = traces.filter((trace) => trace.state === "ERROR").length;
    const tokens = tokensOf(traces);
    return h(
      "a",
      { class: "session", href: go("/session", { id }) },
      h("b", {}, id),
      h(
        "span",
        {},
        [
          `${number(traces.length)} trace${traces.length === 1 ? "" : "s"}`,
          tokens && `${number(tokens)} tokens`,
          failed && `${number(failed)} failed`,
          moment(last.time),
        ]
          .filter(Boolean)
          .join("  ·  "),
      ),
      h("p", {}, last.request ?? ""),
    );
  }
}

export class SessionPage {
  constructor(asked) {
    this.id = asked.get("id") ?? "";
    this.talk = h("div", { class: "talk" });
    this.element = h("div", { class: "page" }, h("h2", {}, this.id), this.talk);
  }

  async refresh() {
    const traces = await get("session", { id: this.id });
    const shown = JSON.stringify(traces);
    if (shown === this.shown) return;
    this.shown = shown;
    const said = (data, side) => {
      // A frame of its own, with the style of the view.
      const box = h("div", { class: `turn ${side}` });
      const root = box.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [customElements.get("spanlog-trace").sheet];
      root.append(value(only(data), {}, []));
      return box;
    };
    this.talk.replaceChildren(
      ...traces.flatMap((trace) => [
        h(
          "a",
          { class: "of", href: `#/trace/${trace.id}` },
          h("b", {}, trace.name),
          h(
            "span",
            { class: trace.state },
            [
              moment(trace.time),
              trace.took === null ? "" : duration(trace.took * 1e6),
              trace.usage && `${number(trace.usage.total_tokens)} tokens`,
              trace.state === "ERROR" && "failed",
            ]
              .filter(Boolean)
              .join("  ·  "),
          ),
        ),
        said(trace.inputs, "asked"),
        ...(trace.outputs === null ? [] : [said(trace.outputs, "answered")]),
      ]),
    );
  }
}

// The one text that went in, where there is one.
function only(data) {
  const values =
    data && typeof data === "object" && !Array.isArray(data) ? Object.values(data) : [];
  return values.length === 1 && typeof values[0] === "string" ? values[0] : data;
}
