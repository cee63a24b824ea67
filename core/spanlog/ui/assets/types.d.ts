// What `spanlog.ui.api` answers, and what the pages share. Only the type checker reads this.
import type { Json, State, Usage } from "/view/types.js";

/** What a page asks for; what is empty is left out. */
export type Query = Record<string, string | number | null | undefined>;

export interface Experiment {
  id: string;
  name: string;
}

/** A trace in a list. */
export interface TraceRow {
  id: string;
  name: string | null;
  state: State;
  /** When it began, in milliseconds since 1970. */
  time: number;
  /** Milliseconds; null while it runs. */
  took: number | null;
  usage: Usage | null;
  /** US dollars. */
  cost: number | null;
  /** Previews of what went in and what came out. */
  request: string | null;
  response: string | null;
  session: string | null;
  tags: Record<string, string>;
  feedback: { name: string; value: Json }[];
}

export interface Session {
  id: string;
  traces: TraceRow[];
}

/** A trace of a session, with what went in and what came out. */
export interface Turn extends TraceRow {
  inputs: Json;
  outputs: Json;
}

/** A part of a list, and what asks for the next one. */
export interface Part<Item> {
  found: Item[];
  token: string | null;
}

/** Figures, by step of time. */
export interface Figures {
  /** When the first step begins, in milliseconds since 1970. */
  begin: number;
  /** Milliseconds. */
  step: number;
  traces: number[];
  errors: number[];
  /** Milliseconds that a share of the traces (`p50`) took at most. */
  durations: Record<string, (number | null)[]>;
  /** By model. */
  tokens: Record<string, number[]>;
  /** US dollars, by model. */
  cost: Record<string, number[]>;
}

/** One line or one colour of bars of a chart. */
export interface Series {
  name: string;
  values: (number | null)[];
  /** Its class in `app.css`. */
  hue: string;
}

export interface Page {
  element: HTMLElement;
  /** Show what is new. */
  refresh(): Promise<void>;
}
