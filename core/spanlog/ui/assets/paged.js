// A list that goes on when one asks for more, while what is new comes on top.
import { h } from "/view/dom.js";

export class Paged {
  // `ask(token)` promises a page, or null; `row(item)` draws an item; `drawn(items)` is told of all.
  constructor({ ask, row, box, none, drawn }) {
    Object.assign(this, { ask, row, box, none, drawn });
    this.rows = null; // by the ids of the items, in their order; null before there was an answer
    this.deep = false; // whether more than the first page is shown
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
    this.turn = {};
    this.refresh();
  }

  // Look for what is new: the first page, and as many more as it takes to reach what is shown.
  async refresh() {
    const { turn } = this;
    const newest = [];
    let got;
    do {
      got = await this.ask(got?.token);
      if (!got || turn !== this.turn) return;
      newest.push(...got.found);
    } while (this.deep && got.token && !got.found.some(({ id }) => this.rows.has(id)));
    const rows = this.rowsOf(newest);
    if (!this.deep) this.token = got.token;
    else for (const [id, row] of this.rows) if (!rows.has(id)) rows.set(id, row);
    this.draw(rows);
  }

  async next() {
    if (!this.rows) return;
    const { turn } = this;
    this.deep = true;
    const got = await this.ask(this.token);
    if (!got || turn !== this.turn) return;
    this.token = got.token;
    this.draw(new Map([...this.rows, ...this.rowsOf(got.found)]), { fresh: false });
  }

  // The rows of items; those that are shown already as they are.
  rowsOf(items) {
    return new Map(
      items.map((item) => {
        const shown = JSON.stringify(item);
        const before = this.rows?.get(item.id);
        return [
          item.id,
          before?.shown === shown ? before : { item, shown, element: this.row(item) },
        ];
      }),
    );
  }

  draw(rows, { fresh = true } = {}) {
    const shown = [...rows.values()];
    const before = this.rows && [...this.rows.values()];
    const goesOn = before?.every((row, n) => row === shown[n]);
    this.more.hidden = !this.token;
    if (goesOn && before.length === shown.length) return;
    for (const [id, { element }] of rows)
      element.classList.toggle("fresh", fresh && before !== null && !this.rows.has(id));
    this.rows = rows;
    const elements = shown.map(({ element }) => element);
    if (goesOn) this.box.append(...elements.slice(before.length));
    else this.box.replaceChildren(...elements);
    this.note.textContent = shown.length ? "" : this.none;
    this.drawn?.(shown.map(({ item }) => item));
  }
}
