// Messages as a chat: who wrote what, which tools were called and what they returned.
import { h, icon, number, size } from "./dom.js";
import { batches, folded, json, plain, text, textOrJson } from "./values.js";

/** @import { Loader, Medium, Message, Path, ToolCall, ToolResult } from "./types.js" */

const REFERENCE = /^attachment:sha256-([0-9a-f]{64})\?type=([\w.+-]+\/[\w.+-]+)&size=(\d+)/;
const DATA = /^data:([\w.+-]+\/[\w.+-]+)/;
const SHOWN = 12; // messages that are drawn at once
const ADDRESS = 100; // characters that are shown of what is no link

/**
 * @param {Message[]} messages
 * @param {Loader} loader
 */
export function chat(messages, loader) {
  const request = messages.filter((each) => !each.reply);
  const reply = messages.filter((each) => each.reply);
  /** @param {Message} each */
  const draw = (each) => message(each, loader, ["messages", messages.indexOf(each)]);
  // Of a long history the end is what one looks for.
  const earlier = request.slice(0, Math.max(request.length - SHOWN, 0));
  const recent = request.slice(earlier.length);
  return h(
    "div",
    { class: "chat" },
    earlier.length > 0 &&
      folded(`${number(earlier.length)} earlier messages`, () => batches(earlier, draw, SHOWN)),
    recent.map(draw),
    batches(reply, draw, SHOWN),
  );
}

/**
 * @param {Message} given
 * @param {Loader} loader
 * @param {Path} path
 */
function message(given, loader, path) {
  const { role, reply, text: content, reasoning, calls = [], results = [], media = [] } = given;
  /** @param {Path} more */
  const at = (...more) => [...path, ...more];
  const onlyResult = role === "tool" && results.length === 1 && !content;
  return h(
    "div",
    { class: reply ? "message reply" : "message", "data-role": plain(role) },
    !onlyResult && h("h5", {}, h("b", {}, plain(role)), reply && h("span", {}, "answer")),
    reasoning &&
      folded(
        "Reasoning",
        () => h("div", { class: "reasoning" }, text(reasoning, loader, at("reasoning"))),
        { open: !content && !calls.length },
      ),
    content && text(content, loader, at("text")),
    media.map((each) => medium(each, loader)),
    calls.map((call, n) => toolCall(call, loader, at("calls", n))),
    results.map((result, n) => toolResult(result, loader, at("results", n))),
  );
}

/**
 * @param {ToolCall} call
 * @param {Loader} loader
 * @param {Path} path
 */
function toolCall(call, loader, path) {
  return h(
    "div",
    { class: "call" },
    h(
      "h5",
      {},
      icon("TOOL"),
      h("b", {}, plain(call.name)),
      h("span", {}, "call"),
      call.id && h("code", {}, plain(call.id)),
    ),
    toolArguments(call, loader, [...path, "arguments"]),
  );
}

/**
 * @param {ToolCall} call
 * @param {Loader} loader
 * @param {Path} path
 */
function toolArguments(call, loader, path) {
  const data = call.arguments;
  if (data == null) return null;
  if (typeof data === "object") return json(data, loader, path);
  return text(data, loader, path, { mono: true });
}

/**
 * @param {ToolResult} result
 * @param {Loader} loader
 * @param {Path} path
 */
function toolResult(result, loader, path) {
  return h(
    "div",
    { class: result.is_error ? "result failed" : "result" },
    h(
      "h5",
      {},
      icon("TOOL"),
      h("b", {}, plain(result.name) ?? "tool"),
      h("span", {}, result.is_error ? "failed" : "result"),
      result.id && h("code", {}, plain(result.id)),
    ),
    result.content == null ? null : textOrJson(result.content, loader, [...path, "content"]),
  );
}

/**
 * Nothing is fetched from elsewhere: what lies on another server is a link.
 *
 * @param {Medium} given
 * @param {Loader} loader
 */
function medium(given, loader) {
  const url = typeof given.url === "string" ? given.url : "";
  const [, sha256, storedType = "", storedSize] = REFERENCE.exec(url) ?? [];
  const type = storedType || DATA.exec(url)?.[1] || plain(given.type);
  const bytes = given.size ?? (sha256 ? Number(storedSize) : null);
  const label = bytes === null ? type : `${type}, ${size(bytes)}`;
  const source = sha256 ? loader.attachment?.(sha256, storedType) : url.startsWith("data:") && url;
  if (source) return h("figure", {}, ...player(type, source, label));
  const link =
    /^https?:\/\//.test(url) &&
    h("a", { href: url, target: "_blank", rel: "noreferrer noopener" }, url);
  return h(
    "figure",
    {},
    h("figcaption", {}, label, " ", link || h("code", {}, url.slice(0, ADDRESS))),
  );
}

/**
 * @param {string} type
 * @param {string} source
 * @param {string} label
 */
function player(type, source, label) {
  const caption = h("figcaption", {}, label);
  if (type.startsWith("image/"))
    return [h("img", { src: source, alt: label, loading: "lazy" }), caption];
  if (type.startsWith("audio/")) return [h("audio", { src: source, controls: true }), caption];
  if (type.startsWith("video/")) return [h("video", { src: source, controls: true }), caption];
  return [h("a", { href: source, download: true }, label)];
}
