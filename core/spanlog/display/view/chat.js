// A chat as a chat: who said what, which tools were called and what they answered.
import { h, icon, number, size } from "./dom.js";
import { batches, folded, json, text, textOrJson } from "./values.js";

const REFERENCE = /^attachment:sha256-([0-9a-f]{64})\?type=([\w.+-]+\/[\w.+-]+)&size=(\d+)/;
const SHOWN = 12; // messages that are drawn at once

export function chat(messages, held) {
  const asked = messages.filter((each) => !each.reply);
  const replies = messages.filter((each) => each.reply);
  const draw = (each) => message(each, held, ["messages", messages.indexOf(each)]);
  // Of a long history the end is what one looks for.
  const hidden = asked.slice(0, Math.max(asked.length - SHOWN, 0));
  const recent = asked.slice(hidden.length);
  return h(
    "div",
    { class: "chat" },
    hidden.length > 0 &&
      folded(`${number(hidden.length)} earlier messages`, () => batches(hidden, draw, SHOWN)),
    recent.map(draw),
    batches(replies, draw, SHOWN),
  );
}

function message(told, held, path) {
  const said = { text: "", reasoning: "", calls: [], results: [], media: [], ...told };
  const at = (...more) => [...path, ...more];
  const only = said.role === "tool" && said.results.length === 1 && !said.text;
  return h(
    "div",
    { class: said.reply ? "message reply" : "message", "data-role": said.role },
    !only && h("h5", {}, h("b", {}, said.role), said.reply && h("span", {}, "answer")),
    said.reasoning &&
      folded(
        "Reasoning",
        () => h("div", { class: "reasoning" }, text(said.reasoning, held, at("reasoning"))),
        { open: !said.text && !said.calls.length },
      ),
    said.text && text(said.text, held, at("text")),
    said.media.map((medium) => media(medium, held)),
    said.calls.map((call, n) => toolCall(call, held, at("calls", n))),
    said.results.map((result, n) => toolResult(result, held, at("results", n))),
  );
}

function toolCall(call, held, path) {
  return h(
    "div",
    { class: "call" },
    h(
      "h5",
      {},
      icon("TOOL"),
      h("b", {}, call.name),
      h("span", {}, "call"),
      call.id && h("code", {}, call.id),
    ),
    call.arguments == null
      ? null
      : typeof call.arguments === "object"
        ? json(call.arguments, held, [...path, "arguments"])
        : text(call.arguments, held, [...path, "arguments"], { mono: true }),
  );
}

function toolResult(result, held, path) {
  return h(
    "div",
    { class: result.is_error ? "result failed" : "result" },
    h(
      "h5",
      {},
      icon("TOOL"),
      h("b", {}, result.name ?? "tool"),
      h("span", {}, result.is_error ? "failed" : "result"),
      result.id && h("code", {}, result.id),
    ),
    result.content == null ? null : textOrJson(result.content, held, [...path, "content"]),
  );
}

// Nothing is fetched from elsewhere: what lies on another server is a link.
export function media(medium, held) {
  const url = typeof medium.url === "string" ? medium.url : "";
  const kept = REFERENCE.exec(url);
  const kind = kept?.[2] ?? /^data:([\w.+-]+\/[\w.+-]+)/.exec(url)?.[1] ?? medium.type;
  const bytes = medium.size ?? (kept ? Number(kept[3]) : null);
  const label = `${kind}${bytes == null ? "" : `, ${size(bytes)}`}`;
  const source = kept ? held.attachment?.(kept[1], kept[2]) : url.startsWith("data:") ? url : null;
  if (source && kind.startsWith("image/"))
    return h(
      "figure",
      {},
      h("img", { src: source, alt: label, loading: "lazy" }),
      h("figcaption", {}, label),
    );
  if (source && kind.startsWith("audio/"))
    return h("figure", {}, h("audio", { src: source, controls: true }), h("figcaption", {}, label));
  if (source && kind.startsWith("video/"))
    return h("figure", {}, h("video", { src: source, controls: true }), h("figcaption", {}, label));
  if (source) return h("figure", {}, h("a", { href: source, download: true }, label));
  const link =
    /^https?:\/\//.test(url) &&
    h("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, url);
  return h("figure", {}, h("figcaption", {}, label, " ", link || h("code", {}, url.slice(0, 100))));
}
