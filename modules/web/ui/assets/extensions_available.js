// Extensions that can be installed, from a list that somebody keeps on the internet. Everything in it is untrusted text.

import { get, post } from "./api.js";
import { el } from "./dom.js";
import { Work } from "./extensions_work.js";

const PATH = "internal/extensions";
const MOST_ROWS = 1000;
const HIDDEN = ["ads", "localization", "installed"];
const newest = (key) => (a, b) => b[key].localeCompare(a[key]);
const byName = (a, b) => a.name.localeCompare(b.name);
const ORDERS = {
  "newest first": newest("added"),
  "oldest first": (a, b) => a.added.localeCompare(b.added),
  "a-z": byName,
  "z-a": (a, b) => byName(b, a),
  "internal order": () => 0,
  "update time": newest("updated"),
  "create time": newest("created"),
  "stars": (a, b) => b.stars - a.stars,
};

export class Available {
  constructor() {
    this.work = new Work(() => this.fetchList());
    this.offers = [];
    this.address = el("input", { id: "extensions_index_url", type: "url", class: "wide" });
    this.fetch = el("button", { id: "extensions_index_load", type: "button", class: "primary", onclick: () => this.fetchList() },
      "Load from:");
    this.search = el("input", { id: "extensions_search", type: "search", placeholder: "Search", oninput: () => this.draw() });
    this.order = el("select", { id: "extensions_order", onchange: () => this.draw() },
      ...Object.keys(ORDERS).map((name) => el("option", { value: name }, name)));
    this.show = el("select", { id: "extensions_tags_mode", onchange: () => this.draw() },
      ...["hide", "show"].map((value) => el("option", { value }, value)));
    this.join = el("select", { id: "extensions_tags_join", onchange: () => this.draw() },
      ...["or", "and"].map((value) => el("option", { value }, value)));
    this.tags = el("div", { class: "extensions-bar", id: "extensions_tags" });
    this.count = el("p", { class: "note", role: "status" });
    this.rows = el("tbody");
    this.root = el("div", {},
      el("div", { class: "extensions-bar" }, this.fetch, this.address),
      el("div", { class: "extensions-bar" }, this.search, el("label", {}, "Order", this.order),
        el("label", {}, "Extensions with tags", this.show), el("label", {}, "joined by", this.join)),
      this.tags, this.work.root, this.count,
      el("div", { class: "extensions-scroll" }, el("table", { id: "available_extensions" },
        el("thead", {}, el("tr", {}, ...["Extension", "Description", "Action"].map((text) => el("th", { scope: "col" }, text)))),
        this.rows)));
  }

  async load() {
    try {
      const { index, refused } = await get(PATH);
      this.address.value = index;
      this.fetch.disabled = this.locked = Boolean(refused);
      this.count.textContent = refused || "The list is fetched from the internet when you press the button.";
    } catch (error) {
      this.work.fail(error);
    }
  }

  async fetchList() {
    this.fetch.disabled = true;
    this.work.problem.hidden = true;
    try {
      const { offers, tags } = await post(`${PATH}/index`, { url: this.address.value });
      this.offers = offers.map((one) => (one.installed ? { ...one, tags: [...one.tags, "installed"] } : one));
      this.drawTags(tags);
      this.draw();
    } catch (error) {
      this.work.fail(error);
    } finally {
      this.fetch.disabled = this.locked;
    }
  }

  drawTags(meanings) {
    if (this.tags.childElementCount > 0) return;
    const names = [...new Set(["installed", ...Object.keys(meanings), ...this.offers.flatMap((one) => one.tags)])].sort();
    this.tags.replaceChildren(...names.map((name) => {
      const box = el("input", { type: "checkbox", checked: HIDDEN.includes(name), onchange: () => this.draw() });
      box.dataset.tag = name;
      return el("label", { title: meanings[name] ?? "" }, box, name);
    }));
  }

  chosen() {
    const picked = [...this.tags.querySelectorAll("input:checked")].map((box) => box.dataset.tag);
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const tagged = (one) => (this.join.value === "and"
      ? picked.length > 0 && picked.every((tag) => one.tags.includes(tag))
      : picked.some((tag) => one.tags.includes(tag)));
    const isWanted = (one) => (this.show.value === "hide" ? !tagged(one) : picked.length === 0 || tagged(one));
    const isFound = (one) => words.every((word) => `${one.name} ${one.description}`.toLowerCase().includes(word));
    return this.offers.filter((one) => isWanted(one) && isFound(one)).sort(ORDERS[this.order.value]);
  }

  draw() {
    const found = this.chosen();
    this.count.textContent = `${found.length} of ${this.offers.length} extensions`
      + (found.length > MOST_ROWS ? `; the first ${MOST_ROWS} are shown` : "");
    this.rows.replaceChildren(...found.slice(0, MOST_ROWS).map((one) => this.row(one)));
  }

  row(one) {
    const isLink = /^https:\/\//.test(one.url);
    const name = isLink ? el("a", { href: one.url, target: "_blank", rel: "noopener noreferrer" }, one.name) : one.name;
    const about = [one.added && `Added: ${one.added.slice(0, 10)}`, one.updated && `Updated: ${one.updated.slice(0, 10)}`,
      one.stars > 0 && `Stars: ${one.stars}`].filter(Boolean).join(", ");
    const button = el("button", { type: "button", disabled: one.installed || this.locked, onclick: () => this.install(one) },
      one.installed ? "Installed" : "Install");
    return el("tr", {},
      el("td", {}, name, el("p", { class: "tags" }, one.tags.join(", "))),
      el("td", {}, one.description, el("p", { class: "reason" }, about)), el("td", {}, button));
  }

  async install(one) {
    if (!confirm(`Install ${one.name} from ${one.url}?\nIt may then do everything on this machine that you may.`)) return;
    await this.work.begin(() => post(`${PATH}/install`, { url: one.url }));
  }
}
