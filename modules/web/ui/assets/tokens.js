// The numbers beside the prompts.

import { post } from "./api.js";
import { byId } from "./dom.js";

const PAUSE_MS = 800;
const timers = {};
const styles = {};
const asked = {};

function field(id) {
  return byId(id)?.querySelector("textarea")?.value ?? "";
}

function write(id, count) {
  const shown = byId(id)?.querySelector(".count");
  if (!shown) return;
  const { used, limit, problem } = count;
  shown.textContent = problem ? "!" : `${used}/${limit}`;
  shown.title = problem ?? `${used} of ${limit} tokens`;
}

async function count(tab) {
  const number = (asked[tab] = (asked[tab] ?? 0) + 1);
  const steps = Number(byId(`${tab}_steps`)?.querySelector("input")?.value) || 20;
  try {
    const counts = await post("internal/ui/tokens", {
      prompt: field(`${tab}_prompt`), negative_prompt: field(`${tab}_neg_prompt`), styles: styles[tab] ?? [],
      steps: Math.round(steps),
    });
    if (number !== asked[tab]) return; // a later question is on its way
    write(`${tab}_token_counter`, counts.prompt);
    write(`${tab}_negative_token_counter`, counts.negative_prompt);
  } catch {
    // A counter that stays as it is does less harm than a message at every key.
  }
}

export function soon(tab) {
  clearTimeout(timers[tab]);
  timers[tab] = setTimeout(() => count(tab), PAUSE_MS);
}

export function setStyles(tab, names) {
  styles[tab] = names;
  soon(tab);
}

export function listen() {
  document.addEventListener("input", (event) => {
    const prompt = event.target.closest?.(".prompt-container textarea");
    const tab = prompt?.closest("[id$=_toprow]")?.id.replace(/_toprow$/, "");
    if (tab) soon(tab);
  });
}
