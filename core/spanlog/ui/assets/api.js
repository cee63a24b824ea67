// What the server answers, and what pages share.
import { h } from "/view/dom.js";

/** @import { Experiment, Query } from "./types.js" */

/** @param {Query} query */
function parameters(query) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value != null && value !== "") given.append(name, String(value));
  return given;
}

/**
 * @param {string} path
 * @param {Query} [query]
 */
export async function get(path, query = {}) {
  return read(await fetch(`/api/${path}?${parameters(query)}`));
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} body
 */
export async function send(method, path, body) {
  return read(await fetch(`/api/${path}`, { method, body: JSON.stringify(body) }));
}

/**
 * Return the JSON of a response. An error is a line, and of a filter the place that it is about.
 *
 * @param {Response} response
 * @returns {Promise<any>}
 */
async function read(response) {
  if (response.ok) return response.json();
  const { error = `The server answered ${response.status}`, place } = await response
    .json()
    .catch(() => ({}));
  throw new Error(place ? `${error}\n${place}` : error);
}

/**
 * Return the address of a page.
 *
 * @param {string} path
 * @param {Query} [query]
 */
export function go(path, query = {}) {
  const given = parameters(query);
  return `#${path}${given.size ? `?${given}` : ""}`;
}

/**
 * Change the address without a new page.
 *
 * @param {string} path
 * @param {Query} query
 */
export const stay = (path, query) => history.replaceState(null, "", go(path, query));

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

const MINUTE = 60_000; // milliseconds
// By minutes.
const RANGES = [
  ["0", "All time"],
  ["15", "Last 15 minutes"],
  ["60", "Last 1 hour"],
  ["1440", "Last 24 hours"],
  ["10080", "Last 7 days"],
  ["43200", "Last 30 days"],
];
const STATES = [
  ["", "Any status"],
  ["OK", "OK"],
  ["ERROR", "Error"],
  ["IN_PROGRESS", "Running"],
  ["INTERRUPTED", "Interrupted"],
];

/** What a list shows: filter, experiment, status, time. */
export class Choice {
  /**
   * @param {URLSearchParams} query Of the page's address.
   * @param {string} path Of the page.
   * @param {() => void} changed Is called when something else is chosen.
   * @param {{ status?: boolean, range?: string }} [options] Whether a status can be chosen, and
   *   the range of time at first.
   */
  constructor(query, path, changed, { status = true, range = "0" } = {}) {
    this.path = path;
    this.changed = changed;
    this.values = {
      filter: query.get("filter") ?? "",
      experiment: query.get("experiment") ?? "",
      status: query.get("status") ?? "",
      range: query.get("range") ?? range,
    };
    this.filter = h("input", {
      type: "search",
      class: "filter",
      value: this.values.filter,
      spellcheck: "false",
      "aria-label": "Filter",
      placeholder: "Filter: status = 'ERROR' AND tags.env = 'prod' AND trace.text LIKE '%refund%'",
      onchange: () => {
        this.set("filter", this.filter.value.trim());
      },
    });
    this.experiment = this.select("experiment", [["", "All experiments"]], "Experiment");
    this.problem = h("pre", { class: "problem", role: "alert" });
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "choice" },
        this.filter,
        status && this.select("status", STATES, "Status"),
        this.select("range", RANGES, "Time"),
        this.experiment,
      ),
      this.problem,
    );
    this.addExperiments();
  }

  /**
   * @param {keyof Choice["values"]} name
   * @param {string[][]} options Values and texts.
   * @param {string} label
   */
  select(name, options, label) {
    const element = h("select", {
      "aria-label": label,
      onchange: () => {
        this.set(name, element.value);
      },
    });
    for (const [value, text] of options)
      element.append(h("option", { value, selected: value === this.values[name] }, text));
    return element;
  }

  /**
   * @param {keyof Choice["values"]} name
   * @param {string} value
   */
  set(name, value) {
    this.values[name] = value;
    stay(this.path, this.values);
    this.changed();
  }

  async addExperiments() {
    /** @type {Experiment[]} */
    const experiments = await get("experiments");
    for (const { id, name } of experiments) {
      const selected = id === this.values.experiment;
      this.experiment.append(h("option", { value: id, selected }, name));
    }
  }

  get query() {
    const { range, ...rest } = this.values;
    return { ...rest, since: range !== "0" ? Date.now() - Number(range) * MINUTE : "" };
  }

  /**
   * Get what was chosen; null, and a line below the filter, if that is wrong.
   *
   * @param {string} path
   * @param {Query} [more]
   */
  async get(path, more = {}) {
    try {
      const response = await get(path, { ...this.query, ...more });
      this.problem.textContent = "";
      return response;
    } catch (error) {
      this.problem.textContent = messageOf(error);
      return null;
    }
  }
}
