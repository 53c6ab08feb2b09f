// Tooltips and names for buttons that show only a symbol.

import { byId } from "./dom.js";

const HINTS = {
  paste: "Read generation parameters from the prompt, or from the last run when it is empty",
  txt2img_clear_prompt: "Clear both prompts",
  txt2img_style_apply: "Write the selected styles into the prompts",
  txt2img_restore_progress: "Show the last result again",
  txt2img_res_switch_btn: "Swap width and height",
  txt2img_random_seed: "Set the seed to -1: a new random number each time",
  txt2img_reuse_seed: "Reuse the seed of the selected picture",
  txt2img_random_subseed: "Set the variation seed to -1: a new random number each time",
  txt2img_reuse_subseed: "Reuse the variation seed of the selected picture",
  refresh_sd_model_checkpoint: "Look for checkpoints again",
  txt2img_token_counter: "Tokens of the prompt, and room before another chunk begins",
  txt2img_interrupt: "Stop now and keep what is there (Esc)",
  txt2img_skip: "End this batch and go on with the next (Alt+Enter)",
};

// Drop-downs have no placeholder of their own.
const PLACEHOLDERS = { txt2img_styles: "Styles" };

// Parts of the page appear when they are first needed, and gradio may draw them anew.
export function listen() {
  const write = () => {
    for (const [id, hint] of Object.entries(HINTS)) {
      const element = byId(id);
      if (element === null || element.title === hint) continue;
      element.title = hint;
      if (element.tagName === "BUTTON" && element.textContent.trim().length <= 2) {
        element.setAttribute("aria-label", hint);
      }
    }
  };
  const placeholders = () => {
    for (const [id, text] of Object.entries(PLACEHOLDERS)) {
      const input = byId(id)?.querySelector("input");
      if (input) input.placeholder = text;
    }
  };
  let planned = false;
  new MutationObserver(() => {
    if (planned) return;
    planned = true;
    setTimeout(() => {
      planned = false;
      write();
      placeholders();
    }, 200);
  }).observe(document.documentElement, { childList: true, subtree: true });
  write();
  placeholders();
}
