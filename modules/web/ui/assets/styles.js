// The editor of styles: one dialog for all tabs.

import { get, post } from "./api.js";
import { byId, el, fill } from "./dom.js";
import * as tokens from "./tokens.js";

let dialog = null;
let known = new Map();
let tab = "txt2img";

function field(id) {
  return byId(id)?.querySelector("textarea");
}

function build() {
  const labelled = (text, control) => el("label", {}, el("span", {}, text), control);
  const parts = {
    name: el("input", { id: "styles_editor_name", type: "text", autocomplete: "off", maxLength: 200, oninput: chosen }),
    names: el("datalist", { id: "styles_editor_names" }),
    prompt: el("textarea", { id: "styles_editor_prompt", rows: 4 }),
    negative: el("textarea", { id: "styles_editor_negative_prompt", rows: 4 }),
    save: el("button", { id: "styles_editor_save", type: "button", class: "primary", onclick: save }, "Save"),
    remove: el("button", { id: "styles_editor_delete", type: "button", onclick: remove }, "Delete"),
    copy: el("button", { id: "styles_editor_copy", type: "button", onclick: copy }, "Copy from prompts"),
    apply: el("button", { id: "styles_editor_apply", type: "button", onclick: apply }, "Apply to prompts"),
    close: el("button", { id: "styles_editor_close", type: "button", onclick: () => dialog.close() }, "Close"),
    said: el("p", { class: "problem", role: "status" }),
  };
  parts.name.setAttribute("list", "styles_editor_names");
  parts.promptBox = el("div", {}, labelled("Prompt", parts.prompt));
  parts.negativeBox = el("div", {}, labelled("Negative prompt", parts.negative));
  dialog = el(
    "dialog", { id: "styles_editor", class: "styles-editor" },
    el("h2", { id: "styles_editor_title" }, "Styles"),
    el("p", { class: "note" }, "Choose a style, or type a new name. {prompt} stands for the prompt; without it the text is appended."),
    labelled("Name", parts.name), parts.names, parts.promptBox, parts.negativeBox,
    parts.said,
    el("div", { class: "buttons" }, parts.save, parts.remove, parts.copy, parts.apply, parts.close),
  );
  dialog.setAttribute("aria-labelledby", "styles_editor_title");
  dialog.parts = parts;
  // Inside gradio's container, so that its colours hold here too.
  (document.querySelector(".gradio-container") ?? document.body).append(dialog);
}

export async function edit(where) {
  tab = where;
  if (dialog === null) build();
  dialog.parts.promptBox.id = `${tab}_edit_style_prompt`;
  dialog.parts.negativeBox.id = `${tab}_edit_style_neg_prompt`;
  say("");
  dialog.showModal();
  await attempt(async () => take(await get("internal/ui/styles")));
}

function take({ styles }) {
  known = new Map(styles.map((style) => [style.name, style]));
  dialog.parts.names.replaceChildren(...styles.map((style) => el("option", { value: style.name })));
  buttons();
}

function buttons() {
  const name = dialog.parts.name.value.trim();
  dialog.parts.save.disabled = name === "";
  dialog.parts.remove.disabled = !known.has(name);
}

function chosen() {
  const style = known.get(dialog.parts.name.value.trim());
  if (style) {
    dialog.parts.prompt.value = style.prompt;
    dialog.parts.negative.value = style.negative_prompt;
  }
  buttons();
}

function save() {
  const { name, prompt, negative } = dialog.parts;
  const style = { name: name.value.trim(), prompt: prompt.value, negative_prompt: negative.value };
  attempt(async () => {
    take(await post("internal/ui/styles", style));
    changed("Saved.");
  });
}

function remove() {
  const name = dialog.parts.name.value.trim();
  if (!confirm(`Delete the style "${name}"?`)) return;
  attempt(async () => {
    take(await post("internal/ui/styles/delete", { name }));
    for (const part of ["name", "prompt", "negative"]) dialog.parts[part].value = "";
    buttons();
    changed("Deleted.");
  });
}

function changed(words) {
  byId("styles_reload")?.click();
  say(words);
}

function copy() {
  dialog.parts.prompt.value = field(`${tab}_prompt`)?.value ?? "";
  dialog.parts.negative.value = field(`${tab}_neg_prompt`)?.value ?? "";
}

function apply() {
  const prompt = field(`${tab}_prompt`);
  const negative = field(`${tab}_neg_prompt`);
  if (!prompt || !negative) return;
  attempt(async () => {
    const made = await post("internal/ui/styles/apply", {
      prompt: prompt.value, negative_prompt: negative.value, style_prompt: dialog.parts.prompt.value,
      style_negative_prompt: dialog.parts.negative.value,
    });
    fill(prompt, made.prompt);
    fill(negative, made.negative_prompt);
    tokens.soon(tab);
    say("Written into the prompts.");
  });
}

async function attempt(work) {
  try {
    await work();
  } catch (error) {
    say(error.message, true);
  }
}

function say(words, isProblem = false) {
  dialog.parts.said.textContent = words;
  dialog.parts.said.className = isProblem ? "error" : "note";
  dialog.parts.said.hidden = words === "";
}
