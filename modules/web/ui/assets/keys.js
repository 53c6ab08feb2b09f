// The keyboard. Keys that an input method is using to compose a character are not ours.

import { byId, fill, isShown } from "./dom.js";
import { adjust, moveItems } from "./weights.js";

function isPrompt(target) {
  return target instanceof HTMLTextAreaElement && target.closest(".prompt-container") !== null;
}

function edit(event, change) {
  const field = event.target;
  const made = change(field.value, field.selectionStart, field.selectionEnd);
  event.preventDefault();
  if (made === null) return;
  fill(field, made.text);
  field.setSelectionRange(made.start, made.end);
}

function somethingIsOpen() {
  return (
    document.fullscreenElement !== null ||
    document.activeElement?.getAttribute("aria-expanded") === "true"
  );
}

export function listen(tabs, jobs) {
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.isComposing || event.keyCode === 229 || document.querySelector("dialog[open]") !== null) return;
      const tab = tabs.find((one) => isShown(byId(`${one}_generate`)));
      if (tab === undefined) return;
      const followed = jobs[tab];
      const command = event.ctrlKey || event.metaKey;
      const prompt = isPrompt(event.target);
      if (event.key === "Enter" && (command || (event.shiftKey && prompt))) {
        event.preventDefault();
        event.stopPropagation();
        if (followed.current !== null) followed.end("cancel");
        byId(`${tab}_generate`).click();
      } else if (event.key === "Enter" && event.altKey) {
        event.preventDefault();
        followed.end("skip");
      } else if (event.key === "Escape" && followed.current !== null && !somethingIsOpen()) {
        event.preventDefault();
        followed.end("cancel");
      } else if (prompt && command && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
        const direction = event.key === "ArrowUp" ? 1 : -1;
        edit(event, (text, start, end) => adjust(text, start, end, direction));
      } else if (prompt && event.altKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
        const direction = event.key === "ArrowRight" ? 1 : -1;
        edit(event, (text, start, end) => moveItems(text, start, end, direction));
      }
    },
    true,
  );
}
