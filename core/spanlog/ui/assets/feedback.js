// Feedback by a click, of the trace or of the selected span: given, changed, taken back.
import { h, icon } from "/view/dom.js";
import { send } from "./api.js";

const mine = ({ source, feedback }) =>
  source.source_id === "spanlog ui" && typeof feedback?.value === "boolean";

export class Feedback {
  // `changed` is called when something was said.
  constructor(trace, changed) {
    Object.assign(this, { path: `traces/${trace}/feedback`, changed, assessments: [], span: null });
    this.of = h("select", { "aria-label": "Feedback on", onchange: () => this.draw() });
    this.of.append(
      h("option", { value: "trace" }, "the trace"),
      h("option", { value: "span" }, "the span"),
    );
    const thumb = (value, title) =>
      h(
        "button",
        {
          class: `thumb ${value ? "good" : "error"}`,
          "aria-label": title,
          onclick: () => this.send(() => this.say(value)),
        },
        icon(title.toLowerCase()),
      );
    this.thumbs = new Map([
      [true, thumb(true, "Good")],
      [false, thumb(false, "Bad")],
    ]);
    this.reason = h("input", {
      placeholder: "Why? (optional)",
      "aria-label": "Rationale",
      maxlength: "2000",
      onchange: () => this.own && this.send(() => this.change(this.own.feedback.value)),
    });
    this.said = h("span", { class: "said", role: "status" });
    this.element = h(
      "div",
      { class: "feedback" },
      "How good is",
      this.of,
      "?",
      ...this.thumbs.values(),
      this.reason,
      this.said,
    );
  }

  show(assessments) {
    this.assessments = assessments;
    this.draw();
  }

  select({ id, name }) {
    this.span = id;
    this.of.options[1].textContent = `the span ${name.slice(0, 40)}`;
    this.draw();
  }

  get target() {
    return this.of.value === "span" ? this.span : null;
  }

  draw() {
    const judged = this.assessments.filter(
      ({ span_id, feedback }) => span_id === this.target && typeof feedback?.value === "boolean",
    );
    const good = judged.filter(({ feedback }) => feedback.value).length;
    this.said.textContent = judged.length ? `${good} good, ${judged.length - good} bad` : "";
    this.own = judged.findLast(mine);
    for (const [value, thumb] of this.thumbs) {
      const pressed = this.own?.feedback.value === value;
      thumb.setAttribute("aria-pressed", pressed);
      thumb.title = pressed ? "Take this back" : thumb.ariaLabel;
    }
    const kept = JSON.stringify([this.target, this.own?.rationale]);
    if (kept !== this.kept) this.reason.value = this.own?.rationale ?? ""; // else one may be writing
    this.kept = kept;
  }

  // The same thumb again takes back what was said.
  say(value) {
    if (this.own?.feedback.value === value) return ["DELETE", this.own.assessment_id];
    if (this.own) return this.change(value);
    return ["POST", "", { value, rationale: this.reason.value.trim(), span_id: this.target }];
  }

  change(value) {
    return ["PUT", this.own.assessment_id, { value, rationale: this.reason.value.trim() }];
  }

  // One after another: each goes by what the one before has made.
  send(request) {
    this.sent = Promise.resolve(this.sent)
      .then(async () => {
        const [method, id, said] = request();
        await send(method, [this.path, id].filter(Boolean).join("/"), said);
        await this.changed();
      })
      .catch((error) => (this.said.textContent = error.message));
    return this.sent;
  }
}
