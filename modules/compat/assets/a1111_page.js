// What A1111's page had and gradio's has not: class names, selectors, tabs whose content is there from the start.
"use strict";

(() => {
/** Selector -> the class that elements had. Classes of whole components are given to them by the server. */
const OLD_CLASSES = [
    ['[role="tablist"]', "tab-nav"],
    ["[data-testid=accordion-content] > .column", "gap"],
    [".extra-networks [id$=_cards]", "extra-network-cards"],
    ["div.form", "gr-form"],
    [".progress-track", "progressDiv"],
    [".progress-track > .progress-bar", "progress"],
    [".live-preview", "livePreview"],
    ["textarea[data-testid=textbox], input[data-testid=textbox]", "gr-text-input"],
];

/** Written for older page -> for this one; only where nothing is found as it is written. */
const OLD_SELECTORS = [
    [/(\blabel(?:[.:\[][^\s>]*)?)\s*>\s*(?=(?:textarea|input)\b)/g, "$1 "],
    [/(#[\w-]*tabs?[\w-]*|\.tabs)\s*>\s*(?=(?:div)?\.tab-nav\b)/g, "$1 > .tab-wrapper > "],
    [/(#[\w-]*tabs?[\w-]*|\.tabs)\s*>\s*div:(?:first-child|first-of-type|nth-child\(1\))\s*>\s*(?=button\b)/g, "$1 > .tab-wrapper > .tab-nav > "],
    [/:scope\s*>\s*(?=(?:div)?\.tab-nav\b)/g, ":scope > .tab-wrapper > "],
];

/** Tabs of the host whose content page scripts look for. */
const MOUNTED_TABS = ["tab_txt2img", "tab_img2img"];
const MOUNTED_STRIPS = ["tabs", "mode_img2img"];
const MOUNT_STEP_MS = 20;
const MOUNT_MOST_MS = 10000;
/** Steps without growth after which content is taken as complete, and as having nothing to come when it is nearly empty. */
const STEPS_STILL = 4;
const STEPS_EMPTY = 20;
const EMPTY_ELEMENTS = 3;

function addOldClasses() {
    for (const [selector, name] of OLD_CLASSES) {
        for (const one of document.querySelectorAll(`:is(${selector}):not(.${name})`)) one.classList.add(name);
    }
}

/** @returns {string} a selector in the words of this page. */
function renewedSelector(selector) {
    return OLD_SELECTORS.reduce((text, [old, now]) => text.replace(old, now), selector);
}

function answerOldSelectors(prototype) {
    for (const name of ["querySelector", "querySelectorAll"]) {
        const plain = prototype[name];
        prototype[name] = function (selector) {
            const found = plain.call(this, selector);
            if (typeof selector !== "string" || (name === "querySelector" ? found : found.length)) return found;
            const renewed = renewedSelector(selector);
            return renewed === selector ? found : plain.call(this, renewed);
        };
    }
}
answerOldSelectors(Document.prototype);
answerOldSelectors(Element.prototype);

/** @returns {Element[]} what opens the tabs of a strip, those in the menu of tabs without room too. */
function openers(strip) {
    const wrapper = strip.querySelector(":scope > .tab-wrapper");
    return [...(wrapper?.querySelectorAll(':scope > [role="tablist"] button[role="tab"], :scope > .overflow-menu > .overflow-dropdown > button') ?? [])];
}

// Before the buttons of tabs there is a copy of them, which measures their width and does nothing else.
document.addEventListener("click", (event) => {
    const button = event.target.closest?.('.tab-container[aria-hidden="true"] > button');
    if (button) openers(button.closest(".tabs")).find((one) => one.textContent.trim() === button.textContent.trim())?.click();
}, true);

const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

const panelsOf = (strip) => [...strip.querySelectorAll(':scope > [role="tabpanel"]')];

/**
 * Wait until what was opened does not grow any more. Steps are counted: a busy page makes them long.
 * @returns {Element[]} the panels of what was opened.
 */
async function grown(opened, deadline) {
    let panels = [], before = -1;
    for (let still = 0; performance.now() < deadline;) {
        panels = opened.flatMap(({ strip }) => panelsOf(strip));
        const sizes = panels.map((one) => one.getElementsByTagName("*").length);
        const size = sizes.reduce((sum, one) => sum + one, 0);
        const complete = opened.every(({ strip, count }) => panelsOf(strip).length >= count) && sizes.every((one) => one > EMPTY_ELEMENTS);
        still = size === before ? still + 1 : 0;
        if (still >= (complete ? STEPS_STILL : STEPS_EMPTY)) break;
        before = size;
        await wait(MOUNT_STEP_MS);
    }
    return panels;
}

/** @returns {Set<string>} ids of tabs whose opening is an event that the server hears. */
function heardTabs() {
    const config = window.gradio_config ?? {};
    const heard = new Set((config.dependencies ?? []).filter((one) => one.backend_fn).flatMap((one) => one.targets.filter(([, event]) => event === "select").map(([id]) => id)));
    return new Set((config.components ?? []).filter((one) => one.type === "tabitem" && heard.has(one.id)).map((one) => String(one.props.id ?? one.id)));
}

/**
 * Open the tabs of a strip, and again the one that was open, all before the page is drawn: nobody sees it, and the tab
 * that somebody chooses meanwhile stays. Content comes a little later, whether its tab is open then or not.
 * @returns {{strip: Element, count: number}[]} the strip, and how many panels it will have at least.
 */
function openAll(strip, heard, wanted = () => true) {
    const buttons = openers(strip);
    const open = buttons.find((one) => one.classList.contains("selected"));
    if (!MOUNTED_STRIPS.includes(strip.id) && buttons.some((one) => heard.has(one.dataset.tabId))) return [];
    const others = buttons.filter((one) => one !== open && wanted(one.id.replace(/-button$/, "")));
    for (const button of others) button.click();
    if (others.length) open?.click();
    return [{ strip, count: others.length + 1 }];
}

/** @returns {Element[]} strips of tabs right inside of a panel. Pages of cards are fetched when somebody wants them. */
function innerStrips(panel) {
    const around = (strip) => strip.parentElement.closest(".tabs:not(.extra-networks)");
    return [...panel.querySelectorAll(".tabs:not(.extra-networks)")].filter((one) => !panel.contains(around(one)));
}

/** Content of tabs is made when they are first opened, and page scripts look for it right away. */
async function mountTabs() {
    const answer = await fetch("./internal/a1111/tabs", { cache: "no-store" }).catch(() => null);
    const theirs = answer?.ok ? await answer.json() : [];
    const wanted = new Set([...MOUNTED_TABS, ...theirs]);
    const heard = heardTabs(), deadline = performance.now() + MOUNT_MOST_MS;
    document.documentElement.dataset.mounting = "yes";
    try {
        let opened = openAll(document.getElementById("tabs"), heard, (id) => wanted.has(id));
        while (opened.length && performance.now() < deadline) {
            const panels = await grown(opened, deadline);
            opened = panels.flatMap(innerStrips).flatMap((strip) => openAll(strip, heard));
        }
    } finally {
        delete document.documentElement.dataset.mounting;
    }
}

window.a1111Page = { addOldClasses, mountTabs };
})();
