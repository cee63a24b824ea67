// Feedback by a click, of the trace or of the selected span: given, changed, taken back.
import { h, icon } from "/view/dom.js";
import { plain } from "/view/values.js";
import { messageOf, send } from "./api.js";

/** @import { Assessment, Span } from "/view/types.js" */

/** @typedef {[method: string, id: string, body?: object]} Change A request to the server. */

const NAME = 40; // characters of a span's name that are shown

/** @param {Assessment | undefined} assessment */
const thumbOf = (assessment) => {
  const value = assessment?.feedback?.value;
  return typeof value === "boolean" ? value : null;
};

/** @param {Assessment} assessment */
const isOwn = (assessment) =>
  assessment.source.source_id === "spanlog ui" && thumbOf(assessment) !== null;

export class Feedback {
  /** @type {Assessment[]} */
  assessments = [];
  /** @type {string | null} The id of the selected span. */
  span = null;
  /** @type {Assessment | undefined} */
  own;
  /** What the rationale was last set by, as JSON. */
  shown = "";
  /** The last request. */
  sent = Promise.resolve();

  /**
   * @param {string} trace Its id.
   * @param {() => Promise<void>} changed Is called when feedback has changed.
   */
  constructor(trace, changed) {
    this.path = `traces/${trace}/feedback`;
    this.changed = changed;
    this.spanOption = h("option", { value: "span" }, "the span");
    this.of = h("select", { "aria-label": "Feedback on", onchange: () => this.draw() });
    this.of.append(h("option", { value: "trace" }, "the trace"), this.spanOption);
    this.good = this.thumb(true, "Good");
    this.bad = this.thumb(false, "Bad");
    this.rationale = h("input", {
      placeholder: "Why? (optional)",
      "aria-label": "Rationale",
      maxlength: "2000",
      onchange: () => this.own && this.send(() => this.change(thumbOf(this.own))),
    });
    this.status = h("span", { class: "said", role: "status" });
    this.element = h(
      "div",
      { class: "feedback" },
      "How good is",
      this.of,
      "?",
      this.good,
      this.bad,
      this.rationale,
      this.status,
    );
  }

  /**
   * @param {boolean} value
   * @param {"Good" | "Bad"} title
   */
  thumb(value, title) {
    return h(
      "button",
      {
        class: `thumb ${value ? "good" : "error"}`,
        "aria-label": title,
        onclick: () => this.send(() => this.press(value)),
      },
      icon(title.toLowerCase()),
    );
  }

  /** @param {Assessment[]} assessments Of the trace and its spans. */
  show(assessments) {
    this.assessments = assessments;
    this.draw();
  }

  /** @param {Span} span */
  select({ id, name }) {
    this.span = id;
    this.spanOption.textContent = `the span ${name.slice(0, NAME)}`;
    this.draw();
  }

  get target() {
    return this.of.value === "span" ? this.span : null;
  }

  draw() {
    const thumbs = this.assessments.filter(
      (each) => each.span_id === this.target && thumbOf(each) !== null,
    );
    const good = thumbs.filter(thumbOf).length;
    this.status.textContent = thumbs.length ? `${good} good, ${thumbs.length - good} bad` : "";
    this.own = thumbs.findLast(isOwn);
    this.mark(this.good, true);
    this.mark(this.bad, false);
    const shown = JSON.stringify([this.target, this.own?.rationale]);
    // Else one may be writing.
    if (shown !== this.shown) this.rationale.value = plain(this.own?.rationale ?? "");
    this.shown = shown;
  }

  /**
   * @param {HTMLElement} thumb
   * @param {boolean} value
   */
  mark(thumb, value) {
    const pressed = thumbOf(this.own) === value;
    thumb.setAttribute("aria-pressed", String(pressed));
    thumb.title = pressed ? "Take this back" : (thumb.ariaLabel ?? "");
  }

  /**
   * Give feedback; the same thumb again takes it back.
   *
   * @param {boolean} value
   * @returns {Change}
   */
  press(value) {
    if (!this.own) {
      const body = { value, rationale: this.rationale.value.trim(), span_id: this.target };
      return ["POST", "", body];
    }
    if (thumbOf(this.own) === value) return ["DELETE", this.own.assessment_id ?? ""];
    return this.change(value);
  }

  /**
   * @param {boolean | null} value
   * @returns {Change}
   */
  change(value) {
    const body = { value, rationale: this.rationale.value.trim() };
    return ["PUT", this.own?.assessment_id ?? "", body];
  }

  /**
   * One after another: each goes by what the one before has made.
   *
   * @param {() => Change} request
   */
  send(request) {
    this.sent = this.sent.then(() => this.sendNow(request));
    return this.sent;
  }

  /** @param {() => Change} request */
  async sendNow(request) {
    try {
      const [method, id, body] = request();
      await send(method, [this.path, id].filter(Boolean).join("/"), body);
      await this.changed();
    } catch (error) {
      this.status.textContent = messageOf(error);
    }
  }
}
