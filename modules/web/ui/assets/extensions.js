// The tab Extensions: what is installed, what can be, and saved states. All texts become text nodes.

import { get, post } from "./api.js";
import { el } from "./dom.js";
import { Work } from "./extensions_work.js";
import { Available } from "./extensions_available.js";

const PATH = "internal/extensions";
const WARNING = "An extension is a program: it may do everything on this machine that you may. "
  + "Install only what you trust.";

export async function mount(name, element) {
  const panel = new PANELS[name]();
  element.replaceChildren(
    el("div", { class: "extensions-panel" }, el("link", { rel: "stylesheet", href: "internal/ui/assets/extensions.css" }),
      panel.root),
  );
  await panel.load();
}

export function day(seconds) {
  return seconds ? new Date(seconds * 1000).toISOString().slice(0, 10) : "";
}

function notice(text) {
  return text ? el("p", { class: "extensions-warning", role: "note" }, text) : null;
}

function repository(url) {
  const isLink = /^https:\/\//.test(url);
  return isLink ? el("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url) : el("span", {}, url);
}

class Installed {
  constructor() {
    this.work = new Work(() => this.load());
    this.apply = el("button", { id: "extensions_apply", type: "button", class: "primary", onclick: () => this.applyAll() },
      "Apply and restart UI");
    this.check = el("button", { id: "extensions_check", type: "button", onclick: () => this.act("check") },
      "Check for updates");
    this.refresh = el("button", { id: "extensions_refresh", type: "button", onclick: () => this.load() }, "Refresh");
    this.mode = el("select", { id: "extensions_disable_all" }, ...[
      ["none", "none"], ["extra", "extra: all but those of the program"], ["all", "all"],
    ].map(([value, label]) => el("option", { value }, label)));
    this.note = el("div");
    this.rows = el("tbody");
    const columns = ["Extension", "URL", "Branch", "Version", "Date", "Update"];
    this.root = el("div", {},
      this.note,
      el("div", { class: "extensions-bar", id: "extensions_installed_top" }, this.apply, this.check,
        el("label", {}, "Disable all extensions", this.mode), this.refresh),
      this.work.root,
      el("div", { class: "extensions-scroll" },
        el("table", { id: "extensions" },
          el("thead", {}, el("tr", {}, ...columns.map((text) => el("th", { scope: "col" }, text)))), this.rows)),
    );
  }

  async load() {
    try {
      const found = await get(PATH);
      this.show(found);
      this.work.resume();
    } catch (error) {
      this.work.fail(error);
    }
  }

  show({ extensions, mode, note, refused }) {
    this.mode.value = mode;
    this.note.replaceChildren(...[refused, note && `Extensions are switched off: ${note}.`].map(notice).filter(Boolean));
    for (const button of [this.apply, this.check, this.mode]) button.disabled = Boolean(refused);
    this.rows.replaceChildren(...extensions.map((one) => this.row(one, Boolean(refused))));
    if (extensions.length === 0) {
      this.rows.append(el("tr", {}, el("td", { colSpan: 6 }, "No extensions are installed.")));
    }
  }

  row(one, locked) {
    const enabled = el("input", { type: "checkbox", name: `enable_${one.name}`, checked: one.enabled, disabled: locked });
    enabled.dataset.extension = one.name;
    const branch = one.branch && !one.builtin
      ? el("button", { type: "button", disabled: locked, title: "Switch to another branch", onclick: () => this.switch(one) },
        one.branch)
      : one.branch;
    const row = el("tr", {},
      el("td", {},
        el("label", {}, enabled, el("span", { class: "name" }, one.name)),
        one.reason ? el("p", { class: "reason" }, one.reason) : null,
        one.running || one.reason ? null : el("p", { class: "reason" }, "Runs after a restart."),
        ...one.faults.map((text) => el("p", { class: "fault" }, text))),
      el("td", { class: "address" }, one.builtin ? "built-in" : repository(one.remote)),
      el("td", {}, branch),
      el("td", {}, el("span", { title: one.commit }, one.version)),
      el("td", {}, day(one.date)),
      el("td", {}, this.status(one, locked)),
    );
    row.toggleAttribute("data-off", Boolean(one.reason));
    return row;
  }

  status(one, locked) {
    if (!one.remote || one.builtin) return "";
    if (one.status !== "new commits") return one.status || "unknown";
    const wanted = el("input", { type: "checkbox", name: `update_${one.name}`, checked: true, disabled: locked });
    wanted.dataset.update = one.name;
    return el("label", {}, wanted, one.status);
  }

  async act(path, body = {}) {
    await this.work.begin(() => post(`${PATH}/${path}`, body));
  }

  applyAll() {
    const boxes = [...this.rows.querySelectorAll("input")];
    const disabled = boxes.filter((box) => box.dataset.extension && !box.checked).map((box) => box.dataset.extension);
    const update = boxes.filter((box) => box.dataset.update && box.checked).map((box) => box.dataset.update);
    return this.act("apply", { disabled, update, mode: this.mode.value });
  }

  async switch(one) {
    try {
      const { branches } = await post(`${PATH}/branches`, { name: one.name });
      const branch = prompt(`Branch of ${one.name}: ${branches.join(", ")}`, one.branch);
      if (branch && branch !== one.branch) await this.act("switch", { name: one.name, branch });
    } catch (error) {
      this.work.fail(error);
    }
  }
}

class FromUrl {
  constructor() {
    this.work = new Work();
    this.url = el("input", { id: "install_url", type: "url", placeholder: "https://..." });
    this.branch = el("input", { id: "install_branch", type: "text", placeholder: "Leave empty for the usual one" });
    this.folder = el("input", { id: "install_dirname", type: "text", placeholder: "Leave empty for that of the repository" });
    this.button = el("button", { id: "install_extension_button", type: "button", class: "primary", onclick: () => this.go() },
      "Install");
    this.note = el("div");
    const field = (label, input) => el("label", { class: "field" }, el("span", {}, label), input);
    this.root = el("div", {}, this.note, notice(WARNING),
      field("URL for extension's git repository", this.url), field("Specific branch name", this.branch),
      field("Local directory name", this.folder), el("div", { class: "extensions-bar" }, this.button), this.work.root);
  }

  async load() {
    const { refused } = await get(PATH).catch(() => ({ refused: "" }));
    this.note.replaceChildren(...[refused].map(notice).filter(Boolean));
    for (const input of [this.url, this.branch, this.folder, this.button]) input.disabled = Boolean(refused);
    this.work.resume();
  }

  async go() {
    const body = { url: this.url.value, branch: this.branch.value, folder: this.folder.value };
    await this.work.begin(() => post(`${PATH}/install`, body));
  }
}

class Backup {
  constructor() {
    this.work = new Work(() => this.load());
    this.states = [];
    this.name = el("input", { id: "config_state_name", type: "text", placeholder: "Name of the state" });
    this.save = el("button", { id: "config_state_save", type: "button", onclick: () => this.saveState() },
      "Save current state");
    this.list = el("select", { id: "config_states_list", onchange: () => this.describe() });
    this.what = el("select", { id: "config_state_what" },
      ...["extensions", "webui", "both"].map((value) => el("option", { value }, value)));
    this.restore = el("button", { id: "config_state_restore", type: "button", onclick: () => this.restoreState() },
      "Restore");
    this.note = el("div");
    this.rows = el("tbody");
    const columns = ["Extension", "URL", "Branch", "Commit", "Was on"];
    this.root = el("div", {}, this.note,
      el("div", { class: "extensions-bar" }, this.name, this.save),
      el("div", { class: "extensions-bar" }, el("label", {}, "Saved states", this.list),
        el("label", {}, "State to restore", this.what), this.restore),
      this.work.root,
      el("div", { class: "extensions-scroll" },
        el("table", {}, el("thead", {}, el("tr", {}, ...columns.map((text) => el("th", { scope: "col" }, text)))), this.rows)));
  }

  async load() {
    try {
      const [{ refused }, { states }] = await Promise.all([get(PATH), get(`${PATH}/states`)]);
      this.locked = Boolean(refused);
      this.note.replaceChildren(...[refused].map(notice).filter(Boolean));
      this.show(states);
    } catch (error) {
      this.work.fail(error);
    }
  }

  show(states, chosen = this.list.value) {
    this.states = states;
    this.list.replaceChildren(...states.map((one) => el("option", { value: one.file }, `${day(one.created)} ${one.name}`)));
    if (states.some((one) => one.file === chosen)) this.list.value = chosen;
    this.save.disabled = this.locked;
    this.restore.disabled = this.locked || states.length === 0;
    this.describe();
  }

  describe() {
    const state = this.states.find((one) => one.file === this.list.value);
    this.rows.replaceChildren(...(state?.extensions ?? []).map((one) => el("tr", {},
      el("td", {}, one.name), el("td", { class: "address" }, repository(one.remote)), el("td", {}, one.branch),
      el("td", {}, one.commit), el("td", {}, one.enabled ? "yes" : "no"))));
  }

  async saveState() {
    try {
      const { states, file } = await post(`${PATH}/states`, { name: this.name.value });
      this.show(states, file);
    } catch (error) {
      this.work.fail(error);
    }
  }

  async restoreState() {
    const body = { file: this.list.value, what: this.what.value };
    await this.work.begin(() => post(`${PATH}/states/restore`, body));
  }
}

const PANELS = { installed: Installed, available: Available, install: FromUrl, backup: Backup };
