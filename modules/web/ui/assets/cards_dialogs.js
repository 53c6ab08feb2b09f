// What a card says in full: the metadata inside its file, and notes that can be edited.

import { get, post } from "./api.js";
import { byId, el } from "./dom.js";

const LABELS = {
  description: "Description", notes: "Notes", vae: "VAE", "sd version": "Made for", "activation text": "Activation text",
  "preferred weight": "Preferred weight (0 is the default)", "negative text": "Negative prompt",
};
const LONG = { description: 3, notes: 3, "activation text": 2, "negative text": 2 };
const PICTURE = /internal\/ui\/pictures\/([^/]+)\/(\d+)\//;

let shown = null;

function open(title, ...content) {
  shown?.remove();
  const close = el("button", { type: "button", class: "cards-close", onclick: () => shown.close() }, "Close");
  shown = el("dialog", { class: "cards-dialog", onclose: () => shown.remove() }, el("header", {}, el("h2", {}, title), close), ...content);
  shown.setAttribute("aria-label", title);
  // Inside gradio's container, so that its colours hold here too.
  (document.querySelector(".gradio-container") ?? document.body).append(shown);
  shown.showModal();
  return shown;
}

function address({ page, key }, what) {
  return `internal/ui/cards/${page}/${what}?${new URLSearchParams({ key })}`;
}

export async function showMetadata(id, name) {
  const text = el("pre", {}, "Reading the file ...");
  open(name, text);
  try {
    text.textContent = (await get(address(id, "metadata"))).metadata || "The file says nothing about itself.";
  } catch (error) {
    text.textContent = `The file cannot be read: ${error.message}`;
  }
}

export async function edit(id, tab, changed) {
  const body = el("div", {}, el("p", { class: "note" }, "Reading the file ..."));
  const dialog = open("Notes", body);
  try {
    const card = await get(address(id, "card"));
    dialog.querySelector("h2").textContent = card.name;
    body.replaceChildren(...new Sheet(id, tab, card, changed).parts());
  } catch (error) {
    body.replaceChildren(el("p", { class: "error" }, error.message));
  }
}

class Sheet {
  constructor(id, tab, card, changed) {
    Object.assign(this, { id, tab, card, changed });
    this.fields = Object.fromEntries(Object.entries(card.notes).map(([name, value]) => [name, this.field(name, value)]));
    this.status = el("p", { class: "note", role: "status" });
  }

  field(name, value) {
    if (name in this.card.choices) {
      const known = this.card.choices[name];
      const all = value && !known.includes(value) ? [value, ...known] : known;
      const words = (one) => (one === "Unknown" && this.card.family ? `As the file tells: ${this.card.family}` : one);
      const made = el("select", {}, ...all.map((one) => el("option", { value: one }, words(one))));
      made.value = value || known[0];
      return made;
    }
    if (name === "preferred weight") return el("input", { type: "number", step: 0.01, min: -100, max: 100, value: value ?? 0 });
    const hint = name === "description" ? this.card.description : "";
    return el("textarea", { rows: LONG[name] ?? 2, value: value ?? "", placeholder: hint.slice(0, 300), maxLength: 50000 });
  }

  parts() {
    const { card } = this;
    const save = el("button", { type: "button", class: "primary cards-save", onclick: () => this.save() }, "Save");
    save.disabled = Boolean(card.fault);
    const replace = el("button", { type: "button", class: "cards-replace", onclick: () => this.replace() }, "Replace preview");
    replace.title = "With the picture that is selected in the gallery";
    return [
      card.fault ? el("p", { class: "error" }, card.fault) : null,
      ...Object.entries(this.fields).map(([name, field]) => {
        field.dataset.note = name;
        return el("label", {}, el("span", {}, LABELS[name] ?? name), field);
      }),
      ...this.suggestions(),
      el("table", {}, el("tbody", {}, ...card.facts.map(([label, value]) => el("tr", {}, el("th", {}, label), el("td", {}, value))))),
      el("div", { class: "cards-foot" }, this.status, el("div", { class: "buttons" }, save, replace)),
    ].filter(Boolean);
  }

  // Words of the training and of a model site; a click puts them into the activation text.
  suggestions() {
    const target = this.fields["activation text"];
    if (!target) return [];
    const chip = (word, count) => el(
      "button", { type: "button", class: "cards-word", onclick: () => append(target, word) },
      word, count ? el("small", {}, ` ${count}`) : null,
    );
    const group = (title, ...content) => el("div", { class: "cards-words" }, el("span", {}, title), ...content);
    const random = () => {
      target.value = this.drawn().join(", ");
    };
    const { words, tags } = this.card;
    return [
      words.length > 0 ? group("Trigger words", ...words.map((word) => chip(word.trim()))) : null,
      tags.length > 0 ? group(
        "Training words", ...tags.map(([word, count]) => chip(word, count)),
        el("button", { type: "button", class: "cards-random", onclick: random }, "Draw a prompt from these"),
      ) : null,
    ].filter(Boolean);
  }

  // Each word as likely as it was frequent.
  drawn() {
    const most = Math.max(...this.card.tags.map(([, count]) => count));
    return this.card.tags.filter(([, count]) => Math.random() * most < count).map(([word]) => word);
  }

  values() {
    const now = Object.entries(this.fields).map(([name, field]) => [name, name === "preferred weight" ? Number(field.value) : field.value]);
    // A list begins with what holds without a note.
    const before = (name) => this.card.notes[name] ?? (name in this.card.choices ? this.card.choices[name][0] : name === "preferred weight" ? 0 : "");
    return Object.fromEntries(now.filter(([name, value]) => value !== before(name)));
  }

  async save() {
    await this.attempt(async () => {
      await post(`internal/ui/cards/${this.id.page}/card`, { key: this.id.key, values: this.values() });
      this.changed();
      shown.close();
    });
  }

  async replace() {
    const found = PICTURE.exec(selectedPicture(this.tab));
    if (!found) return this.say("There is no picture in the gallery; generate one first.", true);
    return this.attempt(async () => {
      const { file } = await post(`internal/ui/cards/${this.id.page}/preview`, { key: this.id.key, job: found[1], number: Number(found[2]) });
      this.changed();
      this.say(`Saved as ${file}.`);
    });
  }

  async attempt(work) {
    try {
      await work();
    } catch (error) {
      this.say(error.message, true);
    }
  }

  say(words, isProblem = false) {
    this.status.textContent = words;
    this.status.className = isProblem ? "error" : "note";
  }
}

function append(field, words) {
  const before = field.value.trim();
  field.value = before ? `${before.replace(/,$/, "")}, ${words}` : words;
}

function selectedPicture(tab) {
  const gallery = byId(`${tab}_gallery`);
  const found = gallery?.querySelector(".preview .thumbnail-item.selected img, .thumbnail-item.selected img") ?? gallery?.querySelector(".thumbnail-item img");
  return found?.src ?? "";
}
