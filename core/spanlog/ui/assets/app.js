// The pages, by what stands after `#` in the address.
import { TraceView } from "/view/trace.js";
import { ChartsPage } from "./charts.js";
import { ListPage } from "./list.js";
import { SessionPage, SessionsPage } from "./sessions.js";
import { ComparePage, TracePage } from "./trace.js";

const PAGES = [
  [/^\/trace\/([0-9a-f]+)$/, TracePage],
  [/^\/compare\/([0-9a-f]+)\/([0-9a-f]+)$/, ComparePage],
  [/^\/sessions$/, SessionsPage],
  [/^\/session$/, SessionPage],
  [/^\/charts$/, ChartsPage],
  [/^\/$/, ListPage],
];
const EVERY = 2000; // milliseconds between looks for what is new

let page = null;

function route() {
  const [path, query] = (location.hash.slice(1) || "/").split("?");
  const asked = new URLSearchParams(query);
  const [pattern, Page] = PAGES.find(([each]) => each.test(path)) ?? PAGES.at(-1);
  for (const link of document.querySelectorAll("nav a:not(.brand)"))
    link.classList.toggle("here", link.hash === `#${path}`);
  page = new Page(asked, ...(pattern.exec(path)?.slice(1) ?? []));
  document.querySelector("main").replaceChildren(page.element);
  look();
}

async function look() {
  const trouble = document.getElementById("trouble");
  try {
    await page.refresh();
    trouble.textContent = "";
  } catch (error) {
    trouble.textContent =
      error instanceof TypeError
        ? "The server does not answer. Is spanlog ui still running?"
        : error.message;
    console.error(error);
  }
}

const THEMES = { auto: "light dark", light: "light", dark: "dark" };

function theme(chosen) {
  localStorage.setItem("theme", chosen);
  document.documentElement.style.colorScheme = THEMES[chosen];
  const button = document.getElementById("theme");
  button.textContent = { auto: "◐", light: "☀", dark: "☾" }[chosen];
  button.title = `Colours: ${chosen}`;
}

document.getElementById("theme").addEventListener("click", () => {
  const names = Object.keys(THEMES);
  theme(names[(names.indexOf(localStorage.getItem("theme")) + 1) % names.length]);
});
theme(localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto");

TraceView.sheet.replaceSync(await (await fetch("/view/trace.css")).text());
customElements.define("spanlog-trace", TraceView);
addEventListener("hashchange", route);
route();
for (;;) {
  await new Promise((wake) => setTimeout(wake, EVERY));
  if (document.visibilityState === "visible") await look();
}
