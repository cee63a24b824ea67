// An assessment of a trace or a span: how good it is, or what was expected.
import { h, icon, moment } from "./dom.js";
import { folded, json, text, value } from "./values.js";

/** @import { Assessment } from "./types.js" */

const SOURCE_TYPES = { HUMAN: "a person", LLM_JUDGE: "a judge", CODE: "code" };

/**
 * @param {Assessment} given
 * @param {string} [of] The name of the span that it is of, where that is not plain to see.
 */
export function assessment(given, of) {
  const judgement = given.feedback ?? given.expectation ?? { value: null };
  const { source_type, source_id } = given.source;
  const thumb =
    given.feedback && typeof judgement.value === "boolean" && (judgement.value ? "good" : "bad");
  const facts = [
    given.expectation && "expected",
    judgement.error && "failed",
    of && `of ${of}`,
    source_id && source_id !== "default" ? source_id : SOURCE_TYPES[source_type],
    moment(Date.parse(given.last_update_time)),
  ];
  return h(
    "div",
    { class: "assessed" },
    h(
      "h5",
      {},
      thumb && h("span", { class: thumb, title: String(judgement.value) }, icon(thumb)),
      h("b", {}, given.assessment_name),
      facts.map((fact) => fact && h("span", {}, fact)),
    ),
    judgement.error ? json(judgement.error, {}, []) : !thumb && value(judgement.value, {}, []),
    given.rationale && h("div", { class: "rationale" }, text(given.rationale, {}, [])),
    Object.keys(given.metadata).length > 0 &&
      folded("Metadata", () => json(given.metadata, {}, [])),
  );
}
