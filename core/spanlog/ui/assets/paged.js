// A list that goes on when one asks for more, while what is new comes on top.
import { h } from "/view/dom.js";

/** @import { Part } from "./types.js" */

/**
 * @template Item
 * @typedef {{ item: Item, shown: string, element: HTMLElement }} Row What shows an item, and what
 *   is shown of it, as JSON.
 */

/** @template {{ id: string }} Item */
export class Paged {
  /** @type {Map<string, Row<Item>> | null} By id, in order; null before there was a response. */
  rows = null;
  /** Whether more than the first page is shown. */
  deep = false;
  /** @type {string | null} What asks for the next page. */
  token = null;
  /** How often something else was asked for. */
  turn = 0;

  /**
   * @param {object} options
   * @param {(token?: string | null) => Promise<Part<Item> | null>} options.ask Gets a page.
   * @param {(item: Item) => HTMLElement} options.row Draws an item.
   * @param {HTMLElement} options.box Of the rows.
   * @param {string} options.none Is shown where there is no item.
   * @param {(items: Item[]) => void} [options.drawn] Is called with all items when they change.
   */
  constructor({ ask, row, box, none, drawn }) {
    this.ask = ask;
    this.row = row;
    this.box = box;
    this.none = none;
    this.drawn = drawn;
    this.note = h("p", { class: "note" });
    this.more = h(
      "button",
      { class: "more", hidden: true, onclick: () => this.next() },
      "Show more",
    );
    this.after = h("div", {}, this.note, this.more);
  }

  // Begin anew: something else is asked for.
  again() {
    this.rows = null;
    this.deep = false;
    this.turn += 1;
    this.refresh();
  }

  // Look for what is new: the first page, and as many more as it takes to reach what is shown.
  async refresh() {
    const { turn } = this;
    const isShown = (/** @type {Item} */ { id }) => Boolean(this.rows?.has(id));
    const newest = [];
    /** @type {Part<Item> | null} */
    let part = null;
    do {
      part = await this.ask(part?.token);
      if (!part || turn !== this.turn) return;
      newest.push(...part.found);
    } while (this.deep && part.token && !part.found.some(isShown));
    const rows = this.rowsOf(newest);
    if (!this.deep) this.token = part.token;
    else for (const [id, row] of this.rows ?? []) if (!rows.has(id)) rows.set(id, row);
    this.draw(rows);
  }

  async next() {
    if (!this.rows) return;
    const { turn } = this;
    this.deep = true;
    const part = await this.ask(this.token);
    if (!part || turn !== this.turn) return;
    this.token = part.token;
    this.draw(new Map([...this.rows, ...this.rowsOf(part.found)]), { fresh: false });
  }

  /**
   * Return the rows of items; those that are shown already as they are.
   *
   * @param {Item[]} items
   */
  rowsOf(items) {
    /** @type {Map<string, Row<Item>>} */
    const rows = new Map();
    for (const item of items) {
      const shown = JSON.stringify(item);
      const before = this.rows?.get(item.id);
      const row = before?.shown === shown ? before : { item, shown, element: this.row(item) };
      rows.set(item.id, row);
    }
    return rows;
  }

  /**
   * @param {Map<string, Row<Item>>} rows
   * @param {{ fresh?: boolean }} [options] Whether rows that were not there are marked as new.
   */
  draw(rows, { fresh = true } = {}) {
    const before = this.rows;
    const [shown, shownBefore] = [[...rows.values()], [...(before?.values() ?? [])]];
    const goesOn = before !== null && shownBefore.every((row, n) => row === shown[n]);
    this.more.hidden = !this.token;
    if (goesOn && shownBefore.length === shown.length) return;
    for (const [id, { element }] of rows)
      element.classList.toggle("fresh", fresh && before !== null && !before.has(id));
    this.rows = rows;
    const elements = shown.map(({ element }) => element);
    if (goesOn) this.box.append(...elements.slice(shownBefore.length));
    else this.box.replaceChildren(...elements);
    this.note.textContent = shown.length ? "" : this.none;
    this.drawn?.(shown.map(({ item }) => item));
  }
}
