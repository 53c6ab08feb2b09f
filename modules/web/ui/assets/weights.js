// Weights in prompts, changed with the keyboard. Pure: text and selection in, text and selection out.

const DELIMITERS = new Set([..." \t\r\n.,\\/!?%^*;:{}=`~()[]<>"]);
const TAG = /^<([^:<>]+):([^:<>]+)(?::([^:<>]*))?((?::[^<>]*)?)>$/;
const WEIGHT_AFTER = /^:\s*(-?[\d.]+)\s*\)/;
const WEIGHT_AT_END = /:\s*(-?[\d.]+)\s*$/;
const OLD_STEP = 1.1;

export function adjust(text, start, end, direction, step = 0.1, tagStep = 0.05) {
  const tag = tagAround(text, start, end);
  if (tag !== null) return adjustTag(text, tag, direction * tagStep);
  const range = chosen(text, start, end);
  if (range === null) return null;
  return reweigh(text, range, direction * step);
}

function tagAround(text, start, end) {
  const open = text.lastIndexOf("<", start - 1 < 0 ? 0 : Math.max(start - 1, 0));
  const close = text.indexOf(">", Math.max(end - 1, 0));
  if (open < 0 || close < 0 || open > start || close + 1 < end) return null;
  return TAG.test(text.slice(open, close + 1)) ? [open, close + 1] : null;
}

function adjustTag(text, [from, to], change) {
  const [, kind, name, number, rest] = TAG.exec(text.slice(from, to));
  const old = number === undefined || number === "" ? 1 : Number(number);
  if (!Number.isFinite(old)) return null;
  const made = `<${kind}:${name}:${rounded(old + change)}${rest}>`;
  return { text: text.slice(0, from) + made + text.slice(to), start: from, end: from + made.length };
}

function chosen(text, start, end) {
  if (start !== end) return trimmed(text, start, end);
  return enclosing(text, start) ?? word(text, start);
}

function trimmed(text, start, end) {
  while (start < end && /\s/.test(text[start])) start++;
  while (end > start && /\s/.test(text[end - 1])) end--;
  return start < end ? [start, end] : null;
}

function escaped(text, at) {
  let slashes = 0;
  while (text[at - 1 - slashes] === "\\") slashes++;
  return slashes % 2 === 1;
}

// The content of the innermost brackets around the cursor, without a weight at its end.
function enclosing(text, at) {
  let depth = 0;
  let open = at - 1;
  for (; open >= 0; open--) {
    if (escaped(text, open)) continue;
    if (text[open] === ")" || text[open] === "]") depth++;
    else if ((text[open] === "(" || text[open] === "[") && depth-- === 0) break;
  }
  if (open < 0) return null;
  const pair = text[open] === "(" ? ")" : "]";
  depth = 0;
  for (let close = at; close < text.length; close++) {
    if (escaped(text, close)) continue;
    if (text[close] === "(" || text[close] === "[") depth++;
    else if (text[close] === ")" || text[close] === "]") {
      if (depth-- > 0) continue;
      if (text[close] !== pair) return null;
      const inside = text.slice(open + 1, close);
      // [from:to:when] and [one|other] are schedules; only their words can be weighed.
      if (pair === "]" && /[:|]/.test(inside)) return null;
      const weight = pair === ")" ? WEIGHT_AT_END.exec(inside) : null;
      return [open + 1, open + 1 + (weight ? weight.index : inside.length)];
    }
  }
  return null;
}

function word(text, at) {
  let start = at;
  let end = at;
  while (start > 0 && !DELIMITERS.has(text[start - 1])) start--;
  while (end < text.length && !DELIMITERS.has(text[end])) end++;
  return start < end ? [start, end] : null;
}

function reweigh(text, [start, end], change) {
  let before = text.slice(0, start);
  let after = text.slice(end);
  const content = text.slice(start, end);
  let weight = 1;
  const number = before.endsWith("(") && !escaped(text, start - 1) ? WEIGHT_AFTER.exec(after) : null;
  if (number && Number.isFinite(Number(number[1]))) {
    weight = Number(number[1]);
    before = before.slice(0, -1);
    after = after.slice(number[0].length);
  } else {
    for (const [open, close, factor] of [["(", ")", OLD_STEP], ["[", "]", 1 / OLD_STEP]]) {
      while (before.endsWith(open) && !escaped(before, before.length - 1) && after.startsWith(close)) {
        before = before.slice(0, -1);
        after = after.slice(1);
        weight *= factor;
      }
    }
  }
  const wanted = rounded(weight + change);
  const opening = wanted === 1 ? "" : "(";
  const closing = wanted === 1 ? "" : `:${wanted})`;
  const from = before.length + opening.length;
  return { text: before + opening + content + closing + after, start: from, end: from + content.length };
}

function rounded(number) {
  return Math.round(number * 100) / 100;
}

// Move the comma-separated items that the selection touches one place to the left or right.
export function moveItems(text, start, end, direction) {
  const items = [];
  let at = 0;
  for (const part of text.split(",")) {
    items.push({ text: part.trim(), from: at, to: at + part.length });
    at += part.length + 1;
  }
  const first = items.findIndex((item) => start <= item.to);
  const last = items.findLastIndex((item) => end >= item.from);
  const target = direction < 0 ? first - 1 : last + 1;
  if (first < 0 || target < 0 || target >= items.length) return null;
  const order = [...items];
  const [moved] = order.splice(target, 1);
  order.splice(direction < 0 ? last : first, 0, moved);
  const words = order.map((item) => item.text);
  const head = words.slice(0, first + direction).join(", ");
  const from = head.length + (first + direction > 0 ? 2 : 0);
  const chosenText = words.slice(first + direction, last + direction + 1).join(", ");
  return { text: words.join(", "), start: from, end: from + chosenText.length };
}
