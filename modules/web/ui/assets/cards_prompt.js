// Cards in prompts: putting them in and taking them out again. Pure: text in, text out.

const SPECIAL = /[.*+?^${}()|[\]\\]/g;

function quoted(text) {
  return text.replace(SPECIAL, "\\$&");
}

// Every mention of a network by one of its names, whatever its strength, with the words that go with it.
function tags(kind, names, words) {
  const kinds = kind === "lora" ? "(?:lora|lyco)" : quoted(kind);
  const behind = words ? `(?:[ ,]*${quoted(words)})?` : "";
  return new RegExp(`<${kinds}:(?:${names.map(quoted).join("|")})(?::[^<>]*)?>${behind}`, "g");
}

// A name on its own, also with a weight around it.
function plain(name) {
  const one = quoted(name);
  return new RegExp(`\\(\\s*${one}\\s*(?::\\s*-?[\\d.]+\\s*)?\\)|(?<![\\w-])${one}(?![\\w-])`, "g");
}

function without(text, mention, separator) {
  let rest = text;
  let found = false;
  for (;;) {
    mention.lastIndex = 0;
    const match = mention.exec(rest);
    if (match === null || match[0] === "") return found ? rest : null;
    found = true;
    let before = rest.slice(0, match.index);
    let after = rest.slice(match.index + match[0].length);
    if (separator && before.endsWith(separator)) before = before.slice(0, -separator.length);
    else if (separator && before === "" && after.startsWith(separator)) after = after.slice(separator.length);
    rest = before + after;
  }
}

function appended(text, piece, separator) {
  return text === "" ? piece : text + separator + piece;
}

export function weightOf(card, options) {
  return String(Math.round((card.weight || options.multiplier) * 1000) / 1000);
}

// What a prompt calls a network: its alias where that is wanted and clear, else the name of its file.
function called(card, options) {
  return (options.aliases && card.alias) || card.spelled || card.name;
}

// Takes both prompts and gives both back; a second time takes out what the first put in.
export function toggleNetwork(kind, card, { prompt, negative }, options) {
  const names = [card.alias, card.spelled, card.name].filter(Boolean);
  const words = card.activation ?? "";
  const unwanted = card.negative ? `(${card.negative}:1)` : "";
  const rest = without(prompt, tags(kind, names, words), options.separator);
  if (rest !== null) {
    const left = unwanted ? without(negative, new RegExp(quoted(unwanted), "g"), options.separator) : null;
    return { prompt: rest, negative: left ?? negative, added: false };
  }
  const tag = `<${kind}:${called(card, options)}:${weightOf(card, options)}>${words ? ` ${words}` : ""}`;
  return {
    prompt: appended(prompt, tag, options.separator),
    negative: unwanted ? appended(negative, unwanted, options.separator) : negative,
    added: true,
  };
}

// Takes one prompt and gives it back.
export function toggleWord(name, text, options) {
  const rest = without(text, plain(name), options.separator);
  return rest === null ? { text: appended(text, name, options.separator), added: true } : { text: rest, added: false };
}

// What a card of an extension puts in, as it is; a second time takes it out again.
export function togglePieces(card, { prompt, negative }, options) {
  const { insert, against = "" } = card;
  const rest = without(prompt, new RegExp(quoted(insert), "g"), options.separator);
  const left = against ? without(negative, new RegExp(quoted(against), "g"), options.separator) : null;
  if (rest !== null) return { prompt: rest, negative: left ?? negative, added: false };
  return {
    prompt: appended(prompt, insert, options.separator),
    negative: against && left === null ? appended(negative, against, options.separator) : negative,
    added: true,
  };
}
