// What was said of a trace or a span: how good it is, and what was expected.
import { h, icon, moment } from "./dom.js";
import { folded, json, text, value } from "./values.js";

const WHO = { HUMAN: "a person", LLM_JUDGE: "a judge", CODE: "code" };

// `of` is the name of the span that it is said of, where that is not plain to see.
export function assessed(said, of) {
  const told = said.feedback ?? said.expectation;
  const good =
    typeof told.value === "boolean" && said.feedback && icon(told.value ? "good" : "bad");
  const id = said.source.source_id;
  const who = id && id !== "default" ? id : WHO[said.source.source_type];
  const facts = [
    said.expectation && "expected",
    told.error && "failed",
    of && `of ${of}`,
    who,
    moment(Date.parse(said.last_update_time)),
  ];
  return h(
    "div",
    { class: "assessed" },
    h(
      "h5",
      {},
      good && h("span", { class: told.value ? "good" : "bad", title: String(told.value) }, good),
      h("b", {}, said.assessment_name),
      facts.filter(Boolean).map((fact) => h("span", {}, fact)),
    ),
    told.error ? json(told.error, {}, []) : !good && value(told.value, {}, []),
    said.rationale && h("div", { class: "rationale" }, text(said.rationale, {}, [])),
    Object.keys(said.metadata).length > 0 && folded("Metadata", () => json(said.metadata, {}, [])),
  );
}
