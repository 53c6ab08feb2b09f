// Following jobs. They live on the server; the page only watches, and finds them again after a reload.

import { get, post } from "./api.js";
import { sleep, waitFor } from "./dom.js";
import * as view from "./view.js";

const REMEMBERED = 16;
const RETRY_MS = 2000;

function fresh() {
  return { fraction: 0, eta: null, step: 0, steps: 0, batch: 0, batches: 0, stage: "", position: 0, note: "" };
}

export class Jobs {
  constructor(tab) {
    this.tab = tab;
    this.key = `webui.jobs.${tab}`;
    this.stream = null;
    this.current = null;
    this.state = fresh();
    this.wanted = [];
    this.load();
  }

  // Other windows of this browser follow the same jobs, so the list is read again before it is changed.
  load() {
    let kept = {};
    try {
      kept = JSON.parse(localStorage.getItem(this.key) ?? "{}") ?? {};
    } catch {
      kept = {};
    }
    const ids = (list) => (Array.isArray(list) ? list.filter((id) => typeof id === "string") : []);
    this.pending = ids(kept.pending);
    this.done = ids(kept.done);
  }

  save() {
    try {
      localStorage.setItem(this.key, JSON.stringify({ pending: this.pending, done: this.done.slice(-REMEMBERED) }));
    } catch {
      // A full or forbidden storage costs the way back after a reload, nothing else.
    }
  }

  add(id) {
    this.load();
    if (!this.pending.includes(id)) this.pending.push(id);
    this.save();
    if (this.current === null) this.follow(this.pending[0]);
    else view.show(this.tab, { ...this.state, waiting: this.pending.length - 1 });
  }

  // After a page load: go on with what waits or runs, and offer what has ended.
  async resume() {
    const list = await get("internal/jobs").catch(() => null);
    if (list === null) return;
    const known = new Map(list.jobs.filter((job) => job.id).map((job) => [job.id, job]));
    this.pending = this.pending.filter((id) => known.has(id));
    this.done = this.done.filter((id) => known.has(id));
    this.save();
    if (this.pending.length > 0 && this.current === null) this.follow(this.pending[0]);
    // Gradio draws a tab when it is first opened, which may be much later or never.
    await waitFor(`${this.tab}_show`, Infinity);
    this.offerRestore();
    if (this.current !== null) view.show(this.tab, { ...this.state, waiting: this.pending.length - 1 });
  }

  offerRestore() {
    const button = document.getElementById(`${this.tab}_restore_progress`);
    if (button) button.toggleAttribute("data-useful", this.done.length > 0);
  }

  restore() {
    const last = this.done.at(-1);
    if (last) this.show(last);
  }

  follow(id) {
    this.current = id;
    this.state = fresh();
    view.say(this.tab, "");
    view.show(this.tab, { ...this.state, waiting: this.pending.length - 1 });
    this.open(id);
  }

  open(id) {
    const stream = new EventSource(`internal/jobs/${id}/events`);
    this.stream = stream;
    stream.onmessage = (message) => {
      this.state.note = "";
      this.take(id, JSON.parse(message.data));
    };
    stream.onerror = () => {
      this.state.note = "Connection lost, trying again ...";
      view.show(this.tab, { ...this.state, waiting: 0 });
      // An answer other than 200 ends the stream for good; only asking tells whether the job is still there.
      if (stream.readyState === EventSource.CLOSED) this.ask(id);
    };
  }

  async ask(id) {
    while (this.current === id) {
      await sleep(RETRY_MS);
      const list = await get("internal/jobs").catch(() => null);
      if (list === null || this.current !== id) continue;
      if (list.jobs.some((job) => job.id === id)) this.open(id);
      else this.finish(id, "The server was restarted or has forgotten this job; saved pictures are in the output folder.");
      return;
    }
  }

  take(id, event) {
    const state = this.state;
    switch (event.type) {
      case "queue":
        state.position = event.position;
        break;
      case "started":
        state.position = 0;
        break;
      case "stage":
        state.stage = event.text;
        break;
      case "progress":
        Object.assign(state, {
          fraction: Math.max(state.fraction, event.fraction), eta: event.eta_s, step: event.step,
          steps: event.num_steps, batch: event.batch, batches: event.num_batches, stage: event.stage, position: 0,
        });
        break;
      case "preview":
        view.preview(this.tab, event.url);
        return;
      case "finished":
      case "interrupted":
      case "failed":
        this.finish(id);
        return;
      default:
        return;
    }
    view.show(this.tab, { ...state, waiting: this.pending.length - 1 });
  }

  finish(id, problem = "") {
    this.stream?.close();
    this.stream = null;
    this.current = null;
    this.load();
    this.pending = this.pending.filter((one) => one !== id);
    if (!problem) this.done = [...this.done.filter((one) => one !== id), id];
    this.save();
    view.idle(this.tab);
    this.offerRestore();
    if (problem) view.say(this.tab, problem);
    else this.show(id);
    if (this.pending.length > 0) this.follow(this.pending[0]);
  }

  // Gradio fills the gallery: a hidden button asks for it, and its event picks up what is wanted. Right after a page
  // load the button can be there before it listens.
  async show(id) {
    this.wanted.push(id);
    const button = await waitFor(`${this.tab}_show`, Infinity);
    for (let tries = 0; tries < 20 && this.wanted.includes(id); tries++) {
      button.click();
      await sleep(500);
    }
  }

  takeWanted() {
    const id = this.wanted.shift() ?? "";
    return JSON.stringify({ job: id, base: document.baseURI });
  }

  async end(how) {
    if (this.current === null) return;
    try {
      await post(`internal/jobs/${this.current}/${how}`);
      this.state.note = how === "cancel" ? "Interrupting ..." : "";
      if (this.current !== null) view.show(this.tab, { ...this.state, waiting: this.pending.length - 1 });
    } catch (error) {
      view.say(this.tab, `The server could not be reached: ${error.message}`);
    }
  }
}
