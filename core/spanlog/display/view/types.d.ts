// The data that `spanlog.display.data` hands to the view, and what the view's modules share.
// Only the type checker reads this: no page loads it.
import type { TraceView } from "./trace.js";

/** A value as JSON, where a `Mark` may stand for what is left out. */
export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [key: string]: Json };

/** The beginning of a long text, and how many characters all of it has. */
export type Cut = { "\u0000cut": [beginning: string, length: number] };
/** How many more items a list or keys an object has. */
export type More = { "\u0000more": number };
/** The digits of an integer that JavaScript would round. */
export type LargeInteger = { "\u0000number": string };

export type Text = string | Cut;
/** The keys and positions that lead to a part of a value. */
export type Path = readonly (string | number)[];

export type State = "OK" | "ERROR" | "IN_PROGRESS" | "INTERRUPTED" | "STATE_UNSPECIFIED";

/** Counts of tokens. */
export interface Usage {
  input_tokens?: number;
  output_tokens?: number;
  total_tokens?: number;
  cache_read_input_tokens?: number;
  reasoning_output_tokens?: number;
}

/** A trace without what its spans hold. */
export interface Trace {
  id: string;
  name: string;
  state: State;
  /** When it began, in milliseconds since 1970, by the clock of the request. */
  time: number;
  /** Nanoseconds; null while it runs. */
  took: number | null;
  usage: Usage | null;
  /** US dollars. */
  cost: number | null;
  experiment: string;
  client_request_id: string | null;
  tags: JsonObject;
  metadata: JsonObject;
  assessments: Assessment[];
  /** When its first span began, in milliseconds since 1970. */
  begin: number;
  /** In reading order: each before those below it. */
  spans: Span[];
}

/** One line of the tree. */
export interface Span {
  id: string;
  /** How many spans are above it. */
  depth: number;
  name: string;
  type: string;
  /** What gives it its colour, as a class in `trace.css`. */
  family: string;
  /** Nanoseconds since the trace began. */
  start: number;
  /** Nanoseconds since the trace began; null while it runs. */
  end: number | null;
  error?: string;
  note?: string;
  /** Its parent is missing. */
  orphan?: boolean;
  /** It is a layer over the same call: what is below it begins folded. */
  doubled?: boolean;
  model?: string;
  usage?: Usage;
  /** US dollars. */
  cost?: number;
}

/** What a span holds; what is empty is left out. */
export interface Contents {
  inputs?: Json;
  outputs?: Json;
  failures?: Failure[];
  messages?: Message[];
  tools?: Tool[];
  attributes?: JsonObject;
  events?: SpanEvent[];
}

export interface Failure {
  type: Text;
  message: Text;
  stack: Text;
}

export interface Message {
  role: Text;
  text?: Text;
  reasoning?: Text;
  calls?: ToolCall[];
  results?: ToolResult[];
  media?: Medium[];
  /** Whether it is the model's response. */
  reply?: boolean;
}

export interface ToolCall {
  id: Text | null;
  name: Text;
  arguments: Json;
}

export interface ToolResult {
  id: Text | null;
  name: Text | null;
  content: Json;
  is_error: boolean;
}

/** An image, sound or document in a message. */
export interface Medium {
  type: Text;
  url: Text;
  /** Bytes. */
  size: number | null;
}

/** A tool that is offered to the model; `parameters` is a JSON schema. */
export interface Tool {
  name: Text;
  description: Text | null;
  parameters: Json;
}

export interface SpanEvent {
  name: Text;
  /** Nanoseconds since its span began. */
  time: number;
  attributes: JsonObject;
}

/** `feedback` or `expectation` is there, by its kind. */
export interface Assessment {
  assessment_id: string | null;
  assessment_name: string;
  trace_id: string | null;
  span_id: string | null;
  source: { source_type: "HUMAN" | "LLM_JUDGE" | "CODE"; source_id: string | null };
  /** ISO 8601. */
  create_time: string;
  last_update_time: string;
  feedback?: Judgement;
  expectation?: Judgement;
  rationale: Text | null;
  metadata: JsonObject;
  overrides: string | null;
  valid: boolean;
}

export interface Judgement {
  value: Json;
  error?: JsonObject;
}

/** Where the view gets a trace from. */
export interface Source {
  trace: Trace;
  /** What a span holds, long values cut. */
  span(id: string): Promise<Contents>;
  /** What a span holds, uncut; absent where only the cut values are at hand. */
  whole?(id: string): Promise<Contents>;
  /** The ids of the spans that hold a text. */
  find(text: string): Promise<string[]>;
  attachment: Loader["attachment"];
}

/** Gets what is not at hand of the object that values are part of. */
export interface Loader {
  /** The object, uncut; absent where only the cut values are at hand. */
  whole?: () => Promise<unknown>;
  /** The address of binary content, or null. */
  attachment?: (sha256: string, mediaType: string) => string | null;
}

/** A trace in a notebook, with all of its data. */
export interface Page {
  trace: Trace;
  spans: Record<string, Contents>;
  /** `data:` URLs by SHA-256. */
  attachments: Record<string, string>;
}

/** What stands in an element; what is empty is left out. */
export type Child = Node | string | false | null | undefined;
export type Children = (Child | Child[])[];

/** Attributes, listeners (`onclick`) and style properties of an element. */
export type Properties = Record<
  string,
  | string
  | number
  | boolean
  | null
  | undefined
  | ((event: Event) => unknown)
  | Record<string, string>
>;

declare global {
  interface HTMLElementTagNameMap {
    "spanlog-trace": TraceView;
  }
  interface HTMLElementEventMap {
    /** A span of a `TraceView` was selected; `detail` is its id. */
    span: CustomEvent<string>;
  }
}
