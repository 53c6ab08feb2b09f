// The pages of cards inside txt2img and img2img. Lists and settings are shared by both; each has a search of its own.

import { get, post } from "./api.js";
import { Grid } from "./cards_grid.js";
import { folders, isForOthers, ORDERS, sorted, wanted } from "./cards_list.js";
import { toggleNetwork, togglePieces, toggleWord } from "./cards_prompt.js";
import { byId, el, fill } from "./dom.js";
import * as tokens from "./tokens.js";

const FAMILIES = { sd1: "SD 1", sd2: "SD 2", sdxl: "SDXL", sd3: "SD 3", flux: "FLUX" };
const KINDS = { lora: "lora", hypernetworks: "hypernet" };
const WIDTH = 190;
const HEIGHT = 285;
const panels = [];
const focused = {};

document.addEventListener("focusin", ({ target }) => {
  const field = target.closest?.("[id$=_prompt], [id$=_neg_prompt]");
  const found = /^(txt2img|img2img)_(neg_)?prompt$/.exec(field?.id ?? "");
  if (found) focused[found[1]] = field.id;
});

export function mount(element, tab, page) {
  if (!byId("cards_style")) {
    document.head.append(el("link", { id: "cards_style", rel: "stylesheet", href: "internal/ui/assets/cards.css" }));
  }
  const panel = new Panel(element, tab, page);
  panels.push(panel);
  panel.load();
  let wasShown = true;
  new IntersectionObserver((entries) => {
    const isShown = entries.some((entry) => entry.isIntersecting);
    if (isShown && !wasShown) panel.load();
    wasShown = isShown;
  }).observe(panel.root);
}

function promptField(tab, isNegative = false) {
  return byId(`${tab}_${isNegative ? "neg_" : ""}prompt`)?.querySelector("textarea");
}

class Panel {
  constructor(element, tab, page) {
    this.tab = tab;
    this.page = page;
    this.cards = [];
    this.options = null;
    this.folder = "";
    this.root = this.build(`${tab}_${page}`);
    this.grid = new Grid(this.scroller, this.surface, (card) => this.draw(card));
    element.replaceChildren(this.root);
  }

  build(id) {
    this.search = el("input", {
      id: `${id}_extra_search`, type: "search", placeholder: "Search name, folder, hash, words", oninput: () => this.show(),
    });
    this.search.setAttribute("aria-label", "Search cards");
    this.order = el(
      "select", { id: `${id}_extra_sort`, title: "Sort by", onchange: () => this.show() },
      ...Object.entries(ORDERS).map(([label, value]) => el("option", { value }, label)),
    );
    this.direction = el("button", {
      id: `${id}_extra_sort_dir`, type: "button", title: "Change the direction", onclick: () => this.turn(),
    }, "↑");
    this.toggle = el("button", {
      id: `${id}_extra_tree_view`, type: "button", title: "Show or hide folders", onclick: () => this.toggleFolders(),
    }, "Folders");
    this.again = el("button", {
      id: `${id}_extra_refresh`, type: "button", title: "Look for files again", onclick: () => this.load(true),
    }, "⟳");
    this.status = el("span", { class: "note", role: "status" });
    this.folders = el("nav", { id: `${id}_dirs`, class: "cards-folders" });
    this.folders.setAttribute("aria-label", "Folders");
    this.surface = el("div", { id: `${id}_cards`, class: "extra-network-cards" });
    this.scroller = el("div", { class: "cards-scroll", tabIndex: -1 }, this.surface);
    return el(
      "div", { class: "cards-panel" },
      el("div", { class: "cards-bar" }, this.search, this.order, this.direction, this.toggle, this.again, this.status),
      el("div", { class: "cards-body" }, this.folders, this.scroller),
    );
  }

  async load(again = false) {
    this.again.disabled = true;
    const path = `internal/ui/cards/${this.page}`;
    try {
      const first = this.options === null;
      const [options, { cards }] = await Promise.all([get("internal/ui/cards"), again ? post(`${path}/refresh`) : get(path)]);
      this.options = options;
      if (first) this.begin();
      this.cards = cards;
      this.grid.forget();
      this.showFolders();
      this.show();
      if (again && this.page === "checkpoints") byId("quicksettings_reload")?.click();
    } catch (error) {
      this.status.textContent = `The cards cannot be listed: ${error.message}`;
    } finally {
      this.again.disabled = false;
    }
  }

  begin() {
    this.order.value = ORDERS[this.options.order] ?? "path";
    this.descending = this.options.descending;
    this.folders.hidden = !this.options.folders;
    this.root.toggleAttribute("data-tree", this.options.tree);
    this.root.style.setProperty("--tree-width", `${this.options.tree_width}px`);
    this.root.style.setProperty("--text-scale", this.options.scale);
  }

  turn() {
    this.descending = !this.descending;
    this.show();
  }

  toggleFolders() {
    this.folders.hidden = !this.folders.hidden;
    this.grid.soon();
  }

  show() {
    if (this.options === null) return;
    this.direction.textContent = this.descending ? "↓" : "↑";
    const found = wanted(this.page, this.cards, { search: this.search.value, folder: this.folder }, this.options);
    const { width, height } = this.options;
    this.grid.show(sorted(found.cards, this.order.value, this.descending), { width: width || WIDTH, height: height || HEIGHT });
    this.tell(found);
  }

  tell({ cards, others }) {
    const shown = cards.length === this.cards.length ? `${cards.length}` : `${cards.length} of ${this.cards.length}`;
    const hidden = others > 0 ? `; ${others} made for other models hidden` : "";
    this.status.textContent = this.cards.length === 0 ? "There is nothing here yet." : shown + hidden;
  }

  showFolders() {
    const mine = this.cards.filter((card) => !isForOthers(this.page, card, this.options));
    const found = folders(mine, this.options);
    if (!found.includes(this.folder)) this.folder = "";
    const button = (path, label) => {
      const made = el("button", { type: "button", class: "cards-folder", title: path, onclick: () => this.enter(path) }, label);
      made.dataset.folder = path;
      if (this.options.tree) made.style.setProperty("--depth", path ? path.split("/").length : 0);
      return made;
    };
    const label = (path) => (this.options.tree ? path.split("/").at(-1) : `${this.options.slash ? "/" : ""}${path}/`);
    this.folders.replaceChildren(...(found.length > 0 ? [button("", "all")] : []), ...found.map((path) => button(path, label(path))));
    this.toggle.hidden = found.length === 0;
    this.mark();
  }

  enter(path) {
    this.folder = this.folder === path ? "" : path;
    this.mark();
    this.show();
  }

  mark() {
    for (const one of this.folders.children) one.setAttribute("aria-pressed", one.dataset.folder === this.folder);
  }

  draw(card) {
    const id = { page: this.page, key: card.key };
    const small = (symbol, kind, title, run) => el("button", { type: "button", class: `card-button ${kind}`, title, onclick: run }, symbol);
    const made = el(
      "div", { class: "card" },
      this.picture(card),
      el("button", { type: "button", class: "card-use", title: card.name, onclick: () => this.use(card) }),
      el(
        "div", { class: "button-row" },
        small("❏", "copy-path-button", "Copy the path", () => this.copyPath(id)),
        card.meta ? small("i", "metadata-button", "Show the metadata in the file", async () => (await dialogs()).showMetadata(id, card.name)) : null,
        card.insert ? null : small("✎", "edit-button", "Edit notes and preview", async () => (await dialogs()).edit(id, this.tab, () => this.changed())),
      ),
      card.family in FAMILIES && this.page !== "hypernetworks" ? el("span", { class: "card-family" }, FAMILIES[card.family]) : null,
      el(
        "div", { class: "actions" },
        el("span", { class: "name" }, card.name),
        card.fault ? el("span", { class: "description fault" }, card.fault) : null,
        this.options.descriptions && card.text ? el("span", { class: "description" }, card.text) : null,
      ),
    );
    if (card.onclick) made.querySelector(".card-use").setAttribute("onclick", card.onclick);
    made.querySelector(".card-use").setAttribute("aria-label", this.page === "checkpoints" ? `Use ${card.name}` : `${card.name} in the prompt`);
    made.dataset.name = card.name;
    made.dataset.sortPath = card.key;
    made.toggleAttribute("data-chosen", this.page === "checkpoints" && card.key === this.options.checkpoint);
    return made;
  }

  picture(card) {
    const query = new URLSearchParams({ key: card.key, v: card.thumb ?? "" });
    if (!card.thumb && !card.cover) return el("span", { class: "no-preview" }, card.name.slice(0, 1).toUpperCase());
    return el("img", {
      class: "preview", alt: "", loading: "lazy", src: `internal/ui/cards/${this.page}/${card.thumb ? "thumb" : "cover"}?${query}`,
    });
  }

  use(card) {
    if (this.page === "checkpoints") return this.choose(card);
    if (card.onclick) return undefined;
    const prompt = promptField(this.tab);
    const negative = promptField(this.tab, true);
    if (!prompt || !negative) return undefined;
    if (card.insert) {
      const before = { prompt: prompt.value, negative: negative.value };
      const after = togglePieces(card, before, this.options);
      fill(prompt, after.prompt);
      if (after.negative !== before.negative) fill(negative, after.negative);
      this.said(card, after.added);
    } else if (this.page in KINDS) {
      const before = { prompt: prompt.value, negative: negative.value };
      const after = toggleNetwork(KINDS[this.page], card, before, this.options);
      fill(prompt, after.prompt);
      if (after.negative !== before.negative) fill(negative, after.negative);
      this.said(card, after.added);
    } else {
      const field = focused[this.tab] === `${this.tab}_neg_prompt` ? negative : prompt;
      const after = toggleWord(card.name, field.value, this.options);
      fill(field, after.text);
      this.said(card, after.added);
    }
    return tokens.soon(this.tab);
  }

  said(card, isAdded) {
    this.status.textContent = isAdded ? `${card.name} added` : `${card.name} removed`;
  }

  async choose(card) {
    this.status.textContent = `Changing to ${card.name} ...`;
    try {
      await window.webui.chooseCheckpoint(card.key);
      await this.load();
      this.status.textContent = `${card.name} is in use`;
    } catch (error) {
      this.status.textContent = `${card.name} cannot be used: ${error.message}`;
    }
  }

  async copyPath({ page, key }) {
    try {
      const { facts } = await get(`internal/ui/cards/${page}/card?${new URLSearchParams({ key })}`);
      await navigator.clipboard.writeText(facts.find(([label]) => label === "File")[1]);
      this.status.textContent = "Path copied";
    } catch (error) {
      this.status.textContent = `The path cannot be copied: ${error.message}`;
    }
  }

  changed() {
    for (const panel of panels) if (panel.page === this.page) panel.load();
  }
}

function dialogs() {
  return import("./cards_dialogs.js");
}
