// The pages, by what stands after `#` in the address.
import { TraceView } from "/view/trace.js";
import { messageOf } from "./api.js";
import { ChartsPage } from "./charts.js";
import { ListPage } from "./list.js";
import { SessionPage, SessionsPage } from "./sessions.js";
import { ComparePage, TracePage } from "./trace.js";

/** @import { Page } from "./types.js" */

/** @type {[RegExp, new (query: URLSearchParams, ...ids: string[]) => Page][]} */
const PAGES = [
  [/^\/trace\/([0-9a-f]+)$/, TracePage],
  [/^\/compare\/([0-9a-f]+)\/([0-9a-f]+)$/, ComparePage],
  [/^\/sessions$/, SessionsPage],
  [/^\/session$/, SessionPage],
  [/^\/charts$/, ChartsPage],
];
const EVERY = 2000; // milliseconds between looks for what is new

const main = /** @type {HTMLElement} */ (document.querySelector("main"));
const trouble = /** @type {HTMLElement} */ (document.getElementById("trouble"));
const themeButton = /** @type {HTMLElement} */ (document.getElementById("theme"));

/** @type {Page} */
let page;

/** @returns {Page} */
function pageAtAddress() {
  const [path = "", text] = location.hash.slice(1).split("?");
  const query = new URLSearchParams(text);
  for (const [pattern, PageAtPath] of PAGES) {
    const match = pattern.exec(path);
    if (match) return new PageAtPath(query, ...match.slice(1));
  }
  return new ListPage(query);
}

function route() {
  const [path] = (location.hash || "#/").split("?");
  for (const link of document.querySelectorAll("nav a:not(.brand)"))
    link.classList.toggle("here", link.getAttribute("href") === path);
  page = pageAtAddress();
  main.replaceChildren(page.element);
  refresh();
}

async function refresh() {
  try {
    await page.refresh();
    trouble.textContent = "";
  } catch (error) {
    trouble.textContent =
      error instanceof TypeError
        ? "The server does not answer. Is spanlog ui still running?"
        : messageOf(error);
    console.error(error);
  }
}

const THEMES = [
  { name: "auto", scheme: "light dark", sign: "◐" },
  { name: "light", scheme: "light", sign: "☀" },
  { name: "dark", scheme: "dark", sign: "☾" },
];

/** @param {number} index */
function setTheme(index) {
  const { name, scheme, sign } = THEMES[index];
  localStorage.setItem("theme", name);
  document.documentElement.style.colorScheme = scheme;
  themeButton.textContent = sign;
  themeButton.title = `Colours: ${name}`;
}

const currentTheme = () => THEMES.findIndex(({ name }) => name === localStorage.getItem("theme"));

themeButton.addEventListener("click", () => setTheme((currentTheme() + 1) % THEMES.length));
setTheme(Math.max(currentTheme(), 0));

TraceView.sheet.replaceSync(await (await fetch("/view/trace.css")).text());
customElements.define("spanlog-trace", TraceView);
addEventListener("hashchange", route);
route();
for (;;) {
  await new Promise((wake) => setTimeout(wake, EVERY));
  if (document.visibilityState === "visible") await refresh();
}
