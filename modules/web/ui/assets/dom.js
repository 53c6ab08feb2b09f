// Elements without HTML text: whatever comes from a person, a file or a model becomes a text node.

export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

export function isShown(element) {
  return element !== null && element.getClientRects().length > 0;
}

// Write into a text field so that gradio notices.
export function fill(field, text) {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

export function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

export async function waitFor(id, timeoutMs = 60000) {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const found = byId(id);
    if (found !== null) return found;
    await sleep(50);
  }
  throw new Error(`#${id} did not appear`);
}
