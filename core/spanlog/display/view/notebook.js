// The view as a notebook's output: the traces of a cell, all of whose data is in the page.
import { duration, h, number } from "./dom.js";
import { TraceView } from "./trace.js";

class NotebookView extends HTMLElement {
  // `element` is the name of the element that shows one trace.
  show(pages, element) {
    const root = this.shadowRoot ?? this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [TraceView.sheet];
    this.view = h(element, { class: "in-notebook" });
    this.tabs = h("nav", { class: "tabs", role: "tablist", "aria-label": "Traces of this cell" });
    this.sources = pages.map(embedded);
    const tab = ({ trace }, n) =>
      h(
        "button",
        { role: "tab", class: trace.state, title: trace.name, onclick: () => this.choose(n) },
        h("i"),
        h("b", {}, trace.name),
        trace.took === null ? "" : duration(trace.took),
      );
    if (pages.length > 1) {
      this.tabs.append(...this.sources.map(tab));
      this.tabs.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        this.choose(Math.min(Math.max(this.chosen + step, 0), pages.length - 1));
        this.tabs.children[this.chosen].focus();
        event.preventDefault();
        event.stopPropagation();
      });
      root.append(this.tabs);
    }
    root.append(this.view);
    this.choose(0);
  }

  choose(n) {
    this.chosen = n;
    [...this.tabs.children].forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === n));
      tab.tabIndex = at === n ? 0 : -1;
    });
    const { spans } = this.sources[n].trace;
    this.view.style.height = `${Math.min(340 + spans.length * 8, 560) + (this.clientWidth < 700 ? 120 : 0)}px`;
    this.view.show(this.sources[n]);
  }
}

function embedded(page) {
  return {
    trace: page.trace,
    span: async (id) => page.spans[id],
    attachment: (sha256) => page.attachments[sha256] ?? null,
    find: async (text) => {
      const wanted = JSON.stringify(text).slice(1, -1).toLowerCase();
      const holds = (span) =>
        `${span.name}\n${span.type}\n${span.error}`.toLowerCase().includes(text.toLowerCase()) ||
        JSON.stringify(page.spans[span.id]).toLowerCase().includes(wanted);
      return page.trace.spans.filter(holds).map((span) => span.id);
    },
  };
}

// Is the page around an element dark? Its text tells: every notebook sets that colour.
function scheme(element) {
  const [r, g, b] = getComputedStyle(element)
    .color.match(/[\d.]+/g)
    .map(Number);
  return 0.3 * r + 0.6 * g + 0.1 * b > 128 ? "dark" : "light";
}

// Put the view in place of the static tree. `version` keeps apart the elements of several versions.
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
    const view = h(all, { "data-lm-suppress-shortcuts": "true" }); // or JupyterLab takes the keys
    box.querySelector(".spanlog-static")?.remove();
    box.prepend(view);
    const settle = () => (view.style.colorScheme = scheme(box.parentElement));
    settle();
    const watcher = new MutationObserver(settle);
    for (const element of [document.documentElement, document.body])
      watcher.observe(element, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", settle);
    const { pages, more } = JSON.parse(data.textContent);
    view.show(pages, one);
    if (more) view.shadowRoot.append(h("p", { class: "cut" }, `and ${number(more)} more traces`));
  }
}
