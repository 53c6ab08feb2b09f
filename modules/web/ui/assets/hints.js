// Tooltips and names for buttons that show only a symbol.

import { byId } from "./dom.js";

const HINTS = {
  paste: "Read generation parameters from the prompt, or from the last run when it is empty",
  save_txt2img: "Keep a copy of the selected picture (s in the full page view)",
  save_img2img: "Keep a copy of the selected picture (s in the full page view)",
  save_zip_txt2img: "Keep a copy, and pack it into a file to download",
  save_zip_img2img: "Keep a copy, and pack it into a file to download",
  save_extras: "Keep a copy of the selected picture (s in the full page view)",
  save_zip_extras: "Keep a copy, and pack it into a file to download",
  extras_upscaling_res_switch_btn: "Swap width and height",
  txt2img_upscale: "Enlarge the selected picture with the values of Hires. fix, without making it again",
  img2img_detect_image_size_btn: "Set width and height to those of the picture",
  refresh_sd_model_checkpoint: "Look for checkpoints again",
  refresh_checkpoint_A: "Look for checkpoints again",
  refresh_checkpoint_B: "Look for checkpoints again",
  refresh_checkpoint_C: "Look for checkpoints again",
  modelmerger_refresh_bake_in_vae: "Look for VAE files again",
  modelmerger_interrupt: "Stop now; no file is written",
  refresh_sd_vae: "Look for VAE files again",
};
const PASTE = HINTS.paste;

// For each tab that makes pictures, by the end of the element's id.
const TAB_HINTS = {
  _paste: PASTE,
  _clear_prompt: "Clear both prompts",
  _style_apply: "Write the selected styles into the prompts",
  _styles_edit_button: "Edit styles",
  _restore_progress: "Show the last result again",
  _res_switch_btn: "Swap width and height",
  _preset_save: "Keep sampler, schedule, steps, CFG scale and size of this tab for the checkpoint in use",
  _preset_forget: "Forget what was kept for this checkpoint",
  _open_folder: "Show the folder of the selected picture on this machine",
  _random_seed: "Set the seed to -1: a new random number each time",
  _reuse_seed: "Reuse the seed of the selected picture",
  _random_subseed: "Set the variation seed to -1: a new random number each time",
  _reuse_subseed: "Reuse the variation seed of the selected picture",
  _token_counter: "Tokens of the prompt, and room before another chunk begins",
  _negative_token_counter: "Tokens of the negative prompt, and room before another chunk begins",
  _interrupt: "Stop now and keep what is there (Esc)",
  _skip: "End this batch and go on with the next (Alt+Enter)",
};

// Drop-downs have no placeholder of their own.
const TAB_PLACEHOLDERS = { _styles: "Styles" };

function forTabs(tabs, bySuffix) {
  return tabs.flatMap((tab) => Object.entries(bySuffix).map(([suffix, text]) => [tab + suffix, text]));
}

// Parts of the page appear when they are first needed, and gradio may draw them anew.
export function listen(tabs) {
  const hints = [...Object.entries(HINTS), ...forTabs(tabs, TAB_HINTS)];
  const words = forTabs(tabs, TAB_PLACEHOLDERS);
  const write = () => {
    for (const [id, hint] of hints) {
      const element = byId(id);
      if (element === null || element.title === hint) continue;
      element.title = hint;
      if (element.tagName === "BUTTON" && element.textContent.trim().length <= 2) {
        element.setAttribute("aria-label", hint);
      }
    }
  };
  const placeholders = () => {
    for (const [id, text] of words) {
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
