// The Models tab: the checkpoints on disk, what is in memory, and files that cannot be used.

import { get, post } from "./api.js";
import { el } from "./dom.js";

const UNITS = ["B", "KB", "MB", "GB", "TB"];

export async function mount(element) {
  const panel = new Panel(element);
  await panel.load();
  let wasShown = true;
  new IntersectionObserver((entries) => {
    const isShown = entries.some((entry) => entry.isIntersecting);
    if (isShown && !wasShown) panel.load();
    wasShown = isShown;
  }).observe(panel.root);
}

export function bytes(count) {
  let at = 0;
  let value = count;
  for (; value >= 1000 && at < UNITS.length - 1; at++) value /= 1000;
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[at]}`;
}

class Panel {
  constructor(element) {
    this.search = el("input", {
      id: "models_search", type: "search", placeholder: "Search name, kind or hash", oninput: () => this.find(),
    });
    this.search.setAttribute("aria-label", "Search models");
    this.refresh = el("button", { id: "models_refresh", type: "button", onclick: () => this.load(true) }, "Refresh");
    this.status = el("span", { class: "note", role: "status" });
    this.list = el("div", { class: "models-list" });
    this.root = el(
      "div", { class: "models-panel" }, el("div", { class: "models-bar" }, this.search, this.refresh, this.status), this.list,
    );
    element.replaceChildren(this.root);
  }

  async load(again = false) {
    this.refresh.disabled = true;
    try {
      const { models, strays } = await (again ? post("internal/ui/models/refresh") : get("internal/ui/models"));
      this.draw(models, strays);
      if (again) document.getElementById("quicksettings_reload")?.click();
    } catch (error) {
      this.status.textContent = `The models cannot be listed: ${error.message}`;
    } finally {
      this.refresh.disabled = false;
    }
  }

  draw(models, strays) {
    const usable = models.filter((one) => !one.fault);
    const others = [...models.filter((one) => one.fault), ...strays];
    const size = usable.reduce((sum, one) => sum + one.size_bytes, 0);
    this.status.textContent = `${usable.length} ${usable.length === 1 ? "checkpoint" : "checkpoints"}, ${bytes(size)}`
      + (others.length > 0 ? `; ${others.length} that cannot be used` : "");
    this.list.replaceChildren(...usable.map((one) => this.row(one)), ...others.map((one) => this.row(one)));
    this.find();
  }

  row(one) {
    const kind = one.side ? `${one.kind}, ${one.side} px` : (one.kind ?? "");
    const row = el(
      "div", { class: "model" },
      el("span", { class: "name" }, one.name),
      el("span", { class: "family" }, kind),
      el("span", { class: "size" }, bytes(one.size_bytes)),
      el("span", { class: "hash", title: "First digits of the SHA-256, known once the file was used" }, one.hash ?? ""),
      one.fault ? null : el(
        "button", { type: "button", class: "model-use", disabled: one.chosen, onclick: () => this.choose(one) },
        one.chosen ? "In use" : "Use",
      ),
      one.loaded
        ? el("span", { class: "where" }, `In memory (${one.loaded.where}), ${bytes(one.loaded.size_bytes)}`)
        : null,
      one.fault ? el("p", { class: "fault" }, one.fault) : null,
    );
    row.toggleAttribute("data-chosen", one.chosen === true);
    row.toggleAttribute("data-faulty", Boolean(one.fault));
    row.dataset.words = `${one.name} ${kind} ${one.hash ?? ""}`.toLowerCase();
    return row;
  }

  find() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of this.list.children) row.hidden = !words.every((word) => row.dataset.words.includes(word));
  }

  async choose(one) {
    try {
      await window.webui.chooseCheckpoint(one.title);
      await this.load();
    } catch (error) {
      this.status.textContent = `${one.name} cannot be used: ${error.message}`;
    }
  }
}
