// The Settings tab: one form over everything there is, built from what the server tells about it.

import { get, post } from "./api.js";
import { el } from "./dom.js";

export async function mount(element) {
  const root = el("div", { class: "settings-form" });
  element.replaceChildren(root);
  const form = new Form(root);
  await form.load();
  // Others may change settings too; what is shown is asked for again each time the tab comes to the front.
  let wasShown = true;
  new IntersectionObserver((entries) => {
    const isShown = entries.some((entry) => entry.isIntersecting);
    if (isShown && !wasShown && form.edited.size === 0) form.load();
    wasShown = isShown;
  }).observe(root);
}

class Form {
  constructor(root) {
    this.root = root;
    this.edited = new Map();
    this.fields = new Map();
  }

  async load() {
    try {
      const { sections } = await get("internal/ui/settings");
      this.build(sections);
    } catch (error) {
      this.root.replaceChildren(el("p", { class: "error" }, `The settings could not be loaded: ${error.message}`));
    }
  }

  build(sections) {
    this.edited.clear();
    this.fields.clear();
    this.status = el("span", { class: "settings-status", role: "status" });
    this.apply = el("button", { id: "settings_submit", class: "primary", onclick: () => this.save() }, "Apply settings");
    const reload = el("button", {
      id: "settings_restart_gradio", type: "button", title: "Build the page anew, with the settings that need it",
      onclick: () => this.reload(reload),
    }, "Reload UI");
    const search = el("input", {
      id: "settings_search", type: "search", placeholder: "Search settings", oninput: () => this.find(search.value),
    });
    search.setAttribute("aria-label", "Search settings");
    this.pages = sections.map((section) => this.page(section));
    const index = el("nav", { class: "settings-index" });
    let category = "";
    for (const [at, section] of sections.entries()) {
      if (section.category !== category) index.append(el("h4", {}, (category = section.category)));
      const page = this.pages[at];
      index.append(
        el("button", { type: "button", onclick: () => page.scrollIntoView({ behavior: "smooth" }) }, section.title),
      );
    }
    this.root.replaceChildren(
      el("div", { class: "settings-bar" }, this.apply, reload, search, this.status),
      el("div", { class: "settings-body" }, index, el("div", { class: "settings-pages" }, ...this.pages)),
    );
    this.mark();
  }

  page(section) {
    const page = el("section", { id: `settings_${section.id}`, class: "settings-page" }, el("h3", {}, section.title));
    for (const about of section.settings) page.append(this.row(about));
    return page;
  }

  row(about) {
    const id = `setting_${about.key}`;
    const used = document.getElementById(id) && !this.root.contains(document.getElementById(id));
    const control = make(about, () => this.change(about, control));
    const row = el("div", { class: `setting kind-${about.kind}`, id: used ? `${id}_form` : id });
    row.dataset.words = `${about.key} ${about.label} ${about.help}`.toLowerCase();
    const label = el("label", { htmlFor: `${id}_field` }, about.label);
    control.field.id = `${id}_field`;
    const problem = el("p", { class: "problem", role: "alert", hidden: true });
    const help = about.locked ? `${about.help} Only changeable on the machine itself.` : about.help;
    row.append(label, control.element, el("p", { class: "help" }, help), problem);
    for (const field of control.element.querySelectorAll("input, select, textarea")) field.disabled = about.locked;
    if (about.locked) control.field.disabled = true;
    this.fields.set(about.key, { about, row, problem, control });
    return row;
  }

  change(about, control) {
    const value = control.read();
    const { row, problem } = this.fields.get(about.key);
    const same = JSON.stringify(value) === JSON.stringify(about.value);
    if (same) this.edited.delete(about.key);
    else this.edited.set(about.key, value);
    row.toggleAttribute("data-edited", !same);
    problem.hidden = true;
    this.mark();
  }

  mark() {
    this.apply.disabled = this.edited.size === 0;
    this.status.textContent = this.edited.size === 0 ? "" : `${this.edited.size} changed, not saved yet`;
  }

  find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const page of this.pages) {
      let found = 0;
      for (const row of page.querySelectorAll(".setting")) {
        row.hidden = !words.every((word) => row.dataset.words.includes(word));
        if (!row.hidden) found++;
      }
      page.hidden = found === 0;
    }
  }

  async reload(button) {
    button.disabled = true;
    this.status.textContent = "Building the page anew ...";
    try {
      await post("internal/ui/reload");
      location.reload();
    } catch (error) {
      button.disabled = false;
      this.status.textContent = `Not built: ${error.message}`;
    }
  }

  async save() {
    this.apply.disabled = true;
    this.status.textContent = "Saving ...";
    try {
      const { changed, refused } = await post("internal/ui/settings", { values: Object.fromEntries(this.edited) });
      for (const [key, value] of [...this.edited]) {
        const { about, row, problem } = this.fields.get(key);
        if (refused[key] === undefined) {
          about.value = value;
          this.edited.delete(key);
          row.removeAttribute("data-edited");
        }
        problem.textContent = refused[key] ?? "";
        problem.hidden = refused[key] === undefined;
      }
      this.mark();
      const count = Object.keys(refused).length;
      const saved = `${changed.length} ${changed.length === 1 ? "setting" : "settings"} changed`;
      this.status.textContent = count === 0 ? saved : `${saved}, ${count} refused`;
      window.webui?.settingsChanged();
      [...this.fields.values()].find((field) => !field.problem.hidden)?.row.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.mark();
      this.status.textContent = `Not saved: ${error.message}`;
    }
  }
}

// Each kind of control: the element shown, the field its label belongs to, and how its value is read.
function make(about, changed) {
  const makers = { switch: makeSwitch, int: makeNumber, float: makeNumber, choice: makeChoice, list: makeList };
  return (makers[about.kind] ?? makeText)(about, changed);
}

function makeSwitch(about, changed) {
  const field = el("input", { type: "checkbox", checked: about.value === true, onchange: changed });
  return { element: el("span", { class: "control" }, field), field, read: () => field.checked };
}

function makeNumber(about, changed) {
  const step = about.step ?? (about.kind === "int" ? 1 : "any");
  const limits = about.slider ? {} : { min: about.min ?? undefined, max: about.max ?? undefined };
  const field = el("input", { type: "number", value: about.value ?? "", step: about.slider ? "any" : step, ...limits });
  const element = el("span", { class: "control" });
  if (about.slider) {
    const range = el("input", { type: "range", min: about.min, max: about.max, step, value: about.value ?? about.min });
    range.setAttribute("aria-label", about.label);
    range.addEventListener("input", () => {
      field.value = range.value;
      changed();
    });
    field.addEventListener("input", () => (range.value = field.value));
    element.append(range);
  }
  field.addEventListener("input", changed);
  element.append(field);
  return { element, field, read: () => (field.value === "" ? null : Number(field.value)) };
}

function makeChoice(about, changed) {
  if (about.choices === null) return makeText(about, changed);
  const choices = about.choices.includes(about.value) ? about.choices : [about.value, ...about.choices];
  const options = choices.map((choice) =>
    el("option", { value: choice ?? "", selected: choice === about.value }, choice ?? "(automatic)"),
  );
  const field = el("select", { onchange: changed }, ...options);
  return { element: el("span", { class: "control" }, field), field, read: () => choices[field.selectedIndex] };
}

function makeList(about, changed) {
  if (about.choices === null || about.choices.length > 40) {
    const field = el("textarea", { rows: 3, value: (about.value ?? []).join("\n"), oninput: changed });
    const hint = el("small", {}, "One per line");
    const read = () => field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return { element: el("span", { class: "control" }, field, hint), field, read };
  }
  const boxes = about.choices.map((choice) => {
    const box = el("input", { type: "checkbox", checked: about.value.includes(choice), onchange: changed });
    return { choice, box, label: el("label", {}, box, choice) };
  });
  const field = el("span", { class: "choices", role: "group" }, ...boxes.map((one) => one.label));
  const read = () => boxes.filter((one) => one.box.checked).map((one) => one.choice);
  return { element: el("span", { class: "control" }, field), field, read };
}

function makeText(about, changed) {
  const type = about.kind === "colour" ? "color" : "text";
  const field = el("input", { type, value: about.value ?? "", oninput: changed });
  const read = () => (field.value === "" && about.default === null ? null : field.value);
  return { element: el("span", { class: "control" }, field), field, read };
}
