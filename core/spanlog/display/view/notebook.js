// The view as a notebook's output: the traces of a cell, all of whose data is in the page.
import { duration, h, number } from "./dom.js";
import { TraceView } from "./trace.js";

/** @import { Page, Source, Span } from "./types.js" */

const HEIGHT = { least: 340, span: 8, most: 560 }; // pixels of the view, by the number of spans
const NARROW = { width: 700, more: 120 }; // pixels: below this width the details are under the tree

class NotebookView extends HTMLElement {
  tabs = h("nav", { class: "tabs", role: "tablist", "aria-label": "Traces of this cell" });
  selected = 0;
  /** @type {Source[]} */
  sources = [];
  /** @type {TraceView | null} */
  view = null;

  /**
   * @param {Page[]} pages
   * @param {string} element The name of the element that shows one trace.
   */
  show(pages, element) {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [TraceView.sheet];
    this.view = make(element, TraceView);
    this.view.className = "in-notebook";
    this.sources = pages.map(sourceOf);
    if (pages.length > 1) {
      this.tabs.append(...this.sources.map((source, n) => this.tab(source, n)));
      this.tabs.addEventListener("keydown", (event) => this.pressed(event));
      root.append(this.tabs);
    }
    root.append(this.view);
    this.select(0);
  }

  /**
   * @param {Source} source
   * @param {number} n
   */
  tab({ trace }, n) {
    return h(
      "button",
      { role: "tab", class: trace.state, title: trace.name, onclick: () => this.select(n) },
      h("i"),
      h("b", {}, trace.name),
      trace.took !== null && duration(trace.took),
    );
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    this.select(Math.min(Math.max(this.selected + step, 0), this.sources.length - 1));
    /** @type {HTMLElement} */ (this.tabs.children[this.selected]).focus();
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {number} n */
  select(n) {
    this.selected = n;
    for (const [at, tab] of this.tabs.querySelectorAll("button").entries()) {
      tab.setAttribute("aria-selected", String(at === n));
      tab.tabIndex = at === n ? 0 : -1;
    }
    const source = this.sources[n];
    if (!this.view || !source) return;
    const wide = Math.min(HEIGHT.least + source.trace.spans.length * HEIGHT.span, HEIGHT.most);
    const height = wide + (this.clientWidth < NARROW.width ? NARROW.more : 0);
    this.view.style.height = `${height}px`;
    this.view.show(source);
  }
}

/**
 * Make an element whose name is known only here, by its version.
 *
 * @template {HTMLElement} Class
 * @param {string} name
 * @param {new () => Class} _class
 */
const make = (name, _class) => /** @type {Class} */ (document.createElement(name));

/**
 * @param {Page} page
 * @returns {Source}
 */
function sourceOf(page) {
  return {
    trace: page.trace,
    span: async (id) => page.spans[id] ?? {},
    attachment: (sha256) => page.attachments[sha256] ?? null,
    find: async (text) => {
      const outside = text.toLowerCase();
      const inside = JSON.stringify(text).slice(1, -1).toLowerCase();
      /** @param {Span} span */
      const holds = ({ id, name, type, error }) =>
        `${name}\n${type}\n${error}`.toLowerCase().includes(outside) ||
        JSON.stringify(page.spans[id]).toLowerCase().includes(inside);
      return page.trace.spans.filter(holds).map((span) => span.id);
    },
  };
}

/**
 * Is the page around an element dark? Its text tells: every notebook sets that colour.
 *
 * @param {Element} element
 */
function scheme(element) {
  const [red = 0, green = 0, blue = 0] =
    getComputedStyle(element)
      .color.match(/[\d.]+/g)
      ?.map(Number) ?? [];
  return 0.3 * red + 0.6 * green + 0.1 * blue > 128 ? "dark" : "light";
}

/**
 * Put the view in place of the static tree.
 *
 * @param {string} key Of the cell's output.
 * @param {string} version Keeps apart the elements of several versions.
 * @param {string} css
 */
export function mount(key, version, css) {
  const [one, all] = [`spanlog-trace-${version}`, `spanlog-traces-${version}`];
  if (!customElements.get(all)) {
    TraceView.sheet.replaceSync(css);
    customElements.define(one, TraceView);
    customElements.define(all, NotebookView);
  }
  for (const box of document.querySelectorAll(`[data-spanlog="${key}"]`)) {
    const data = box.querySelector('script[type="application/json"]');
    if (!data || box.querySelector(all)) continue;
    const view = make(all, NotebookView);
    view.setAttribute("data-lm-suppress-shortcuts", "true"); // or JupyterLab takes the keys
    box.querySelector(".spanlog-static")?.remove();
    box.prepend(view);
    const settle = () => {
      view.style.colorScheme = scheme(box.parentElement ?? box);
    };
    settle();
    const watcher = new MutationObserver(settle);
    for (const element of [document.documentElement, document.body])
      watcher.observe(element, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", settle);
    /** @type {{ pages: Page[], more: number }} */
    const { pages, more } = JSON.parse(data.textContent);
    view.show(pages, one);
    if (more) view.shadowRoot?.append(h("p", { class: "cut" }, `and ${number(more)} more traces`));
  }
}
