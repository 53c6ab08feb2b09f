// What goes on with extensions right now, as the server tells it, and the way back after a restart.

import { get } from "./api.js";
import { el, sleep } from "./dom.js";

const WORK = "internal/extensions/work";
const LOOK_MS = 500;

export class Work {
  constructor(done = () => {}) {
    this.done = done;
    this.title = el("p", { class: "note" });
    this.log = el("pre", { hidden: true });
    this.problem = el("p", { class: "error", role: "alert", hidden: true });
    this.root = el("div", { class: "extensions-work", role: "status" }, this.title, this.log, this.problem);
    this.watching = false;
  }

  fail(error) {
    this.problem.textContent = error.message;
    this.problem.hidden = false;
  }

  // Begin something; while it runs, show what it says.
  async begin(ask) {
    this.problem.hidden = true;
    try {
      this.show(await ask());
      await this.watch();
    } catch (error) {
      this.fail(error);
    }
  }

  // Show what was begun before the page was loaded.
  async resume() {
    if (this.watching) return;
    const state = await get(WORK).catch(() => null);
    if (state?.running) {
      this.show(state);
      await this.watch();
    }
  }

  async watch() {
    if (this.watching) return;
    this.watching = true;
    try {
      for (;;) {
        const state = await get(WORK).catch((error) => (error.status ? Promise.reject(error) : null));
        if (state === null) return await this.returned();
        this.show(state);
        if (!state.running) {
          if (state.result.startsWith("The program starts again")) return await this.returned();
          return await this.done();
        }
        await sleep(LOOK_MS);
      }
    } finally {
      this.watching = false;
    }
  }

  show({ title, lines, running, error, result }) {
    this.title.textContent = running ? `${title} ...` : result || title;
    this.log.hidden = lines.length === 0;
    this.log.textContent = lines.join("\n");
    this.log.scrollTop = this.log.scrollHeight;
    this.problem.textContent = error;
    this.problem.hidden = !error;
  }

  // Wait until the server has gone and come back, then load the page again.
  async returned() {
    this.title.textContent = "The program starts again ...";
    const began = Date.now();
    let gone = false;
    while (Date.now() - began < 300000) {
      const answer = await fetch("", { cache: "no-store" }).catch(() => null);
      gone = gone || answer === null || answer.status === 503;
      if (answer?.ok && (gone || Date.now() - began > 30000)) return location.reload();
      await sleep(LOOK_MS);
    }
    this.fail(new Error("The program did not come back; its log says why."));
  }
}
