// What the server answers, and what pages share.
import { h } from "/view/dom.js";

export async function get(path, asked = {}) {
  const known = Object.entries(asked).filter(([, value]) => value !== "" && value != null);
  return read(await fetch(`/api/${path}?${new URLSearchParams(known)}`));
}

export async function send(method, path, said) {
  return read(await fetch(`/api/${path}`, { method, body: JSON.stringify(said) }));
}

// A refusal is a line, and of a filter the place that it is about.
async function read(reply) {
  if (reply.ok) return reply.json();
  const { error = `The server answered ${reply.status}`, place } = await reply
    .json()
    .catch(() => ({}));
  throw new Error(place ? `${error}\n${place}` : error);
}

export const go = (path, asked = {}) => {
  const known = Object.entries(asked).filter(([, value]) => value !== "" && value != null);
  return `#${path}${known.length ? `?${new URLSearchParams(known)}` : ""}`;
};

// Change the address without a new page.
export const stay = (path, asked) => history.replaceState(null, "", go(path, asked));

const RANGES = {
  "15 minutes": 15,
  "1 hour": 60,
  "24 hours": 1440,
  "7 days": 10080,
  "30 days": 43200,
};

// What is asked for: filter, experiment, status, time. `changed` is called when that changes.
export class Choice {
  constructor(asked, path, changed, { status = true, range: usual = "0" } = {}) {
    this.values = {
      filter: asked.get("filter") ?? "",
      experiment: asked.get("experiment") ?? "",
      status: asked.get("status") ?? "",
      range: asked.get("range") ?? usual,
    };
    const set = (name, value) => {
      this.values[name] = value;
      stay(path, this.values);
      changed();
    };
    const select = (name, options, label) => {
      const element = h("select", {
        "aria-label": label,
        onchange: () => set(name, element.value),
      });
      element.append(
        ...options.map(([value, text]) =>
          h("option", { value, selected: value === this.values[name] }, text),
        ),
      );
      return element;
    };
    this.filter = h("input", {
      type: "search",
      class: "filter",
      value: this.values.filter,
      spellcheck: "false",
      "aria-label": "Filter",
      placeholder: "Filter: status = 'ERROR' AND tags.env = 'prod' AND trace.text LIKE '%refund%'",
      onchange: () => set("filter", this.filter.value.trim()),
    });
    this.experiment = select("experiment", [["", "All experiments"]], "Experiment");
    const states = [
      ["", "Any status"],
      ["OK", "OK"],
      ["ERROR", "Error"],
      ["IN_PROGRESS", "Running"],
      ["INTERRUPTED", "Interrupted"],
    ];
    const range = select(
      "range",
      [
        ["0", "All time"],
        ...Object.entries(RANGES).map(([name, minutes]) => [String(minutes), `Last ${name}`]),
      ],
      "Time",
    );
    this.problem = h("pre", { class: "problem", role: "alert" });
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "choice" },
        this.filter,
        status && select("status", states, "Status"),
        range,
        this.experiment,
      ),
      this.problem,
    );
    get("experiments").then((all) => {
      this.experiment.append(
        ...all.map(({ id, name }) =>
          h("option", { value: id, selected: id === this.values.experiment }, name),
        ),
      );
    });
  }

  get asked() {
    const { range, ...rest } = this.values;
    return { ...rest, since: range !== "0" ? Date.now() - range * 60_000 : "" };
  }

  // Get what was chosen, or say what is wrong with the filter.
  async get(path, more = {}) {
    try {
      const got = await get(path, { ...this.asked, ...more });
      this.problem.textContent = "";
      return got;
    } catch (error) {
      this.problem.textContent = error.message;
      return null;
    }
  }
}
