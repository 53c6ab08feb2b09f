// The Queue tab: who runs, who waits in which order, and what earlier jobs made. Every window sees the same list.

import { get, post } from "./api.js";
import { el, isShown } from "./dom.js";
import { Rows } from "./queue_rows.js";

const PERIOD_MS = 1500;
const LEFT_OVER = "not run";

export async function mount(element) {
  const panel = new Panel();
  element.replaceChildren(panel.element);
  for (;;) {
    if (isShown(element) && !document.hidden) await panel.refresh();
    await Promise.race([panel.woken(), new Promise((done) => setTimeout(done, PERIOD_MS))]);
  }
}

class Panel {
  constructor() {
    this.summary = el("span", { class: "queue-summary" });
    this.hold = el("button", { type: "button", class: "queue-hold", onclick: () => this.act(() => this.toggle()) });
    this.problem = el("p", { class: "error", hidden: true, role: "alert" });
    this.now = el("div", { class: "queue-now" });
    this.left = el("div", { class: "queue-left" });
    this.leftHead = el(
      "h3", { hidden: true }, "Not run ",
      el("button", { type: "button", onclick: () => this.act(() => this.runLeft()) }, "Run all"),
    );
    this.ended = el("div", { class: "queue-ended" });
    this.rows = new Rows((call) => this.act(call));
    this.paused = false;
    this.leftJobs = [];
    this.element = el(
      "div", { class: "queue-panel" },
      el("link", { rel: "stylesheet", href: "internal/ui/assets/queue.css" }),
      el("div", { class: "queue-bar" }, this.summary, this.hold), this.problem,
      el("h3", {}, "Waiting and running"), this.now, this.leftHead, this.left, el("h3", {}, "Recent"), this.ended,
    );
  }

  woken() {
    return new Promise((wake) => (this.wake = wake));
  }

  // Do something to the queue and show at once what came of it.
  async act(call) {
    this.say("");
    try {
      await call();
    } catch (error) {
      this.say(error.message);
    }
    this.wake?.();
  }

  say(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  toggle() {
    return post(`internal/queue/${this.paused ? "resume" : "pause"}`);
  }

  async runLeft() {
    for (const job of [...this.leftJobs].reverse()) await this.rows.again(job, true);
  }

  async refresh() {
    try {
      this.draw(await get("internal/queue"));
      if (this.lost) this.say("");
      this.lost = false;
    } catch (error) {
      this.lost = true;
      this.say(`The queue cannot be seen: ${error.message}`);
    }
  }

  draw({ jobs, earlier, paused }) {
    const live = jobs.filter((job) => job.state === "running" || job.state === "queued");
    const waiting = live.filter((job) => job.state === "queued").length;
    const known = jobs.filter((job) => !live.includes(job)).reverse();
    this.leftJobs = earlier.filter((job) => job.state === LEFT_OVER);
    this.paused = paused;
    this.summary.textContent = `${waiting} waiting, ${live.length - waiting} running${paused ? ", paused" : ""}`;
    this.hold.textContent = paused ? "Resume" : "Pause";
    this.hold.title = paused ? "Start waiting jobs again" : "Start no further job; the one that runs goes on";
    this.leftHead.hidden = this.leftJobs.length === 0;
    this.rows.fill(this.now, live, { empty: "Nothing is running.", waiting });
    this.rows.fill(this.left, this.leftJobs, { empty: "" });
    this.rows.fill(
      this.ended, [...known, ...earlier.filter((job) => job.state !== LEFT_OVER)], { empty: "Nothing yet." },
    );
    this.rows.sweep();
  }
}
