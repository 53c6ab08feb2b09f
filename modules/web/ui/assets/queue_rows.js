// One line per job. A line is made anew only when more than its progress has changed, so that buttons keep the focus.

import { post } from "./api.js";
import { el } from "./dom.js";

const MOST_PICTURES = 6;
const PAGE_TABS = ["txt2img", "img2img", "extras"];

export class Rows {
  // `act` runs what a button does, and shows what goes wrong.
  constructor(act) {
    this.act = act;
    this.made = new Map();
    this.used = new Set();
  }

  fill(shelf, jobs, { empty, waiting = 0 }) {
    const rows = jobs.map((job, number) => this.row(job, number, waiting));
    const note = rows.length === 0 && empty ? [el("p", { class: "note" }, empty)] : [];
    const wanted = [...rows, ...note];
    if (wanted.length !== shelf.children.length || wanted.some((row, place) => row !== shelf.children[place])) {
      if (rows.length > 0 || shelf.textContent !== empty) shelf.replaceChildren(...wanted);
    }
  }

  // Forget the lines that were not used since the last time.
  sweep() {
    for (const key of this.made.keys()) if (!this.used.has(key)) this.made.delete(key);
    this.used.clear();
  }

  row(job, number, waiting) {
    const { fraction, stage, progress, ...lasting } = job;
    const key = job.id ?? `other-${number}`;
    const text = JSON.stringify([lasting, waiting]);
    this.used.add(key);
    let known = this.made.get(key);
    if (known?.text !== text) {
      known = { text, element: this.line(job, waiting) };
      this.made.set(key, known);
    }
    known.element.querySelector(".queue-state").textContent = stateOf(job);
    return known.element;
  }

  line(job, waiting) {
    const about = `${job.kind} (${job.source}${job.user ? `, ${job.user}` : ""})`;
    const row = el(
      "div", { class: `queue-line state-${job.state.replace(" ", "-")}` },
      el("span", { class: "queue-state" }), el("span", { class: "queue-kind" }, about),
      el("time", {}, clock(job.ended_at ?? job.started_at ?? job.accepted_at)),
      job.title ? el("span", { class: "queue-title", title: job.title }, job.title) : null,
    );
    if (job.id === null) return row;
    row.append(el("span", { class: "queue-buttons" }, ...this.buttons(job, waiting)));
    if (job.error) {
      const kind = job.state === "not run" ? "queue-error note" : "queue-error error";
      row.append(el("p", { class: kind }, job.error.message || job.error.type));
    }
    if (job.files?.length > 0) row.append(this.pictures(job));
    return row;
  }

  buttons(job, waiting) {
    if (job.state === "running") return [this.copy(job), this.button("Interrupt", () => cancel(job), "queue-cancel")];
    if (job.state === "queued") {
      const { position: place } = job;
      return [
        this.button("⤒", () => move(job, 1), "", "To the front", place === 1),
        this.button("↑", () => move(job, place - 1), "", "Earlier", place === 1),
        this.button("↓", () => move(job, place + 1), "", "Later", place === waiting),
        this.copy(job), this.button("Cancel", () => cancel(job), "queue-cancel"),
      ];
    }
    const leftOver = job.state === "not run";
    return [
      this.button("Run again", () => this.again(job, leftOver), "", "Queue the same request once more"),
      this.button("Remove", () => post(`internal/queue/${job.id}/forget`), "", "Take it out of this list; files stay"),
    ];
  }

  copy(job) {
    return this.button("Duplicate", () => this.again(job, false), "", "Queue the same request once more");
  }

  async again(job, instead) {
    const { id, kind } = await post(`internal/queue/${job.id}/again`);
    if (PAGE_TABS.includes(kind)) window.webui.accepted(kind, id);
    if (instead) await post(`internal/queue/${job.id}/forget`);
  }

  button(label, call, kind = "", title = "", disabled = false) {
    const made = el("button", { type: "button", class: kind, title, disabled, ariaLabel: title || label }, label);
    made.addEventListener("click", async () => {
      made.disabled = true;
      await this.act(call);
      made.disabled = disabled;
    });
    return made;
  }

  pictures(job) {
    const shelf = el("div", { class: "queue-pictures" });
    for (const file of job.files.slice(0, MOST_PICTURES)) {
      if (!file.url) {
        shelf.append(el("span", {}, file.name));
        continue;
      }
      const gone = () => image.replaceWith(el("span", { class: "note" }, `${file.name} is no longer there`));
      const image = el("img", { loading: "lazy", alt: file.name, title: file.infotext ?? file.name, onerror: gone });
      image.src = file.url;
      shelf.append(image);
    }
    if (job.files.length > MOST_PICTURES) shelf.append(el("span", {}, `and ${job.files.length - MOST_PICTURES} more`));
    if (job.progress && PAGE_TABS.includes(job.kind)) {
      shelf.append(el("button", { type: "button", onclick: () => window.webui.showJob(job.kind, job.id) }, "Show"));
    }
    return shelf;
  }
}

function stateOf(job) {
  if (job.state === "queued") return `waiting, place ${job.position}`;
  if (job.state === "running") return `running, ${Math.floor(job.fraction * 100)}% ${job.stage}`;
  return job.state;
}

function cancel(job) {
  return post(`internal/jobs/${job.id}/cancel`);
}

function move(job, place) {
  return post(`internal/queue/${job.id}/move`, { place });
}

function clock(seconds) {
  const when = new Date(seconds * 1000);
  const today = when.toDateString() === new Date().toDateString();
  return today ? when.toLocaleTimeString() : when.toLocaleString();
}
