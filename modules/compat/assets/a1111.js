// The globals that page scripts written for A1111 expect. Loaded before them, and only when there are any.
"use strict";

// Only what page scripts know lies in the global scope: a name of ours there would stop a script that declares it too.
(() => {
/** @returns {Document} what elements are looked for in. */
function gradioApp() {
    const app = document.getElementsByTagName("gradio-app")[0];
    if (!app) {
        return document;
    }
    // Extensions put elements of their own into it, which a document does not take, and ask it as they ask a document.
    app.getElementById ??= (id) => document.getElementById(id);
    return app.shadowRoot ?? app;
}

const uiUpdateCallbacks = [];
const uiAfterUpdateCallbacks = [];
const uiLoadedCallbacks = [];
const uiTabChangeCallbacks = [];
const optionsChangedCallbacks = [];
const optionsAvailableCallbacks = [];
let uiCurrentTab = null;
let uiAfterUpdateTimer = 0;

const opts = {};
const localization = {};
const ignore_ids_for_localization = {};
const activePromptTextarea = {};
const re_num = /^[.\d]+$/;
const re_emoji = /[\p{Extended_Pictographic}\u{1F3FB}-\u{1F3FF}\u{1F9B0}-\u{1F9B3}]/u;

/** Every change of the page. */
function onUiUpdate(callback) { uiUpdateCallbacks.push(callback); }

/** Changes of the page, a little later and together. */
function onAfterUiUpdate(callback) { uiAfterUpdateCallbacks.push(callback); }

/** Once, when both generation tabs are in the page; at once when they are already. */
function onUiLoaded(callback) {
    if (uiLoadedCallbacks.done) {
        callCallback(callback);
    } else {
        uiLoadedCallbacks.push(callback);
    }
}

/** When another tab at the top is chosen. */
function onUiTabChange(callback) { uiTabChangeCallbacks.push(callback); }

/** When settings were changed. */
function onOptionsChanged(callback) { optionsChangedCallbacks.push(callback); }

/** Once, when the settings are known. */
function onOptionsAvailable(callback) {
    if (Object.keys(opts).length) {
        callCallback(callback);
    } else {
        optionsAvailableCallbacks.push(callback);
    }
}

function callCallback(callback, argument) {
    try {
        callback(argument);
    } catch (error) {
        console.warn("a page script of an extension failed", error);
    }
}

function executeCallbacks(queue, argument) {
    for (const callback of [...queue]) callCallback(callback, argument);
}

const seen = (element) => Boolean(element && element.offsetParent !== null);

/** @returns {Element|null} the button of the tab that is open at the top. */
function get_uiCurrentTab() {
    return document.querySelector('#tabs > .tab-wrapper button[role="tab"].selected, #tabs button[role="tab"].selected');
}

/** @returns {Element|undefined} the content of the tab that is open at the top. */
function get_uiCurrentTabContent() {
    return [...document.querySelectorAll('#tabs > [role="tabpanel"], #tabs > .tabitem')].find(seen);
}

function uiElementIsVisible(element) {
    return element === document || (element && getComputedStyle(element).display !== "none" && seen(element));
}

function uiElementInSight(element) {
    const box = element.getBoundingClientRect();
    return box.bottom > 0 && box.top < window.innerHeight;
}

/** Tell gradio that a control was changed by a script. */
function updateInput(target) {
    target.dispatchEvent(new Event("input", { bubbles: true }));
}

function tabButton(name) {
    return [...document.querySelectorAll('#tabs button[role="tab"]')].find((one) => one.textContent.trim() === name);
}

function openTab(name, ...rest) {
    tabButton(name)?.click();
    return rest;
}

function switch_to_txt2img(...rest) { return openTab("txt2img", ...rest); }
function switch_to_img2img(...rest) { return openTab("img2img", ...rest); }
function switch_to_extras(...rest) { return openTab("Extras", ...rest); }

/** Open the n-th way of img2img: img2img, sketch, inpaint, inpaint sketch, inpaint upload, batch. */
function switch_to_img2img_tab(number) {
    openTab("img2img");
    document.querySelectorAll('#mode_img2img button[role="tab"]')[number]?.click();
    return [];
}
function switch_to_inpaint(...rest) { switch_to_img2img_tab(2); return rest; }
function switch_to_sketch(...rest) { switch_to_img2img_tab(1); return rest; }

function all_gallery_buttons() {
    return [...document.querySelectorAll('[id$="_gallery"] .thumbnails > .thumbnail-item.thumbnail-small, [id$="_gallery"] .grid-container > .thumbnail-item')].filter(seen);
}

function selected_gallery_button() {
    return all_gallery_buttons().find((one) => one.classList.contains("selected")) ?? null;
}

/** @returns {number} place of the picture that is chosen, -1 for none. */
function selected_gallery_index() {
    return all_gallery_buttons().findIndex((one) => one.classList.contains("selected"));
}

function extract_image_from_gallery(gallery) {
    if (!gallery || gallery.length === 0) return [null];
    const place = selected_gallery_index();
    return [gallery[Math.min(Math.max(place, 0), gallery.length - 1)]];
}

const args_to_array = Array.from;

/** @returns {Array} what an event sends, without the pictures that its gallery shows already. */
function create_submit_args(given) {
    const found = [...given];
    const gallery = found.length - 3;
    if (gallery >= 0 && Array.isArray(found[gallery])) found[gallery] = null;
    return found;
}

/** @returns {string} the id of a task. */
function randomId() {
    const words = () => Math.random().toString(36).slice(2, 7);
    return `task(${words()}${words()}${words()})`;
}

function submitted(tab, given) {
    showSubmitButtons(tab, false);
    const found = create_submit_args(given);
    found[0] = randomId();
    return found;
}

function submit(...given) { return submitted("txt2img", given); }
function submit_txt2img_upscale(...given) { return submitted("txt2img", given); }
function submit_img2img(...given) { return submitted("img2img", given); }

/** Show what begins a run, or what ends it; runs of the page's own say so by themselves. */
function showSubmitButtons(tab, show) {
    const box = document.getElementById(`${tab}_generate_box`);
    if (!box) return;
    if (!show) box.dataset.running ??= "script";
    else if (box.dataset.running === "script") delete box.dataset.running;
}
function showRestoreProgressButton(tab, show) {
    document.getElementById(`${tab}_restore_progress`)?.toggleAttribute("data-useful", show);
}

/** Send JSON and get JSON. */
function request(url, data, handler, errorHandler) {
    fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) })
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer)))
        .then(handler, () => errorHandler?.());
}

function pad2(number) { return `${number < 10 ? "0" : ""}${number}`; }

/** @returns {string} seconds as people write them. */
function formatTime(seconds) {
    if (seconds > 3600) return `${pad2(Math.floor(seconds / 3600))}:${pad2(Math.floor(seconds / 60) % 60)}:${pad2(Math.floor(seconds) % 60)}`;
    if (seconds > 60) return `${pad2(Math.floor(seconds / 60))}:${pad2(Math.floor(seconds) % 60)}`;
    return `${Math.floor(seconds)}s`;
}

/** @returns {boolean} whether the columns of a tab lie below each other. */
function isMobile() {
    const one = document.querySelector("#txt2img_settings"), other = document.querySelector("#txt2img_results");
    return Boolean(one && other && one.offsetTop !== other.offsetTop);
}

function getTranslation(text) {
    if (!text) return undefined;
    return localization[text];
}

/** Open or close an accordion that is a value. */
function inputAccordionChecked(id, checked) {
    const box = document.querySelector(`#${CSS.escape(id)}-checkbox input`);
    if (box && box.checked !== checked) box.click();
}

function rememberGallerySelection(_name) {}
function getGallerySelectedIndex(_name) { return selected_gallery_index(); }
function attachGalleryListeners(tab) { return document.getElementById(`${tab}_gallery`); }
function setupExtraNetworksForTab(_tab) {}

function setRandomSeed(elem_id) {
    const input = document.querySelector(`#${CSS.escape(elem_id)} input`);
    if (!input) return [];
    input.value = "-1";
    updateInput(input);
    return [];
}

function dimensionChange(event, _is_width, _is_height) { return event; }

function restart_reload() {
    setTimeout(() => location.reload(), 2000);
    return [];
}

function updateSettings(known) {
    const before = JSON.stringify(opts);
    for (const key of Object.keys(opts)) delete opts[key];
    Object.assign(opts, known);
    if (before === "{}") {
        executeCallbacks(optionsAvailableCallbacks);
        optionsAvailableCallbacks.length = 0;
    }
    if (before !== JSON.stringify(opts)) executeCallbacks(optionsChangedCallbacks);
}

async function fetchSettings() {
    const answer = await fetch("./internal/a1111/opts", { cache: "no-store" });
    if (answer.ok) updateSettings(await answer.json());
}

function notePrompts() {
    for (const tab of ["txt2img", "img2img"]) {
        for (const id of [`${tab}_prompt`, `${tab}_neg_prompt`]) {
            const area = document.querySelector(`#${id} textarea`);
            if (!area || area.dataset.noted) continue;
            area.dataset.noted = "1";
            activePromptTextarea[tab] ??= area;
            area.addEventListener("focus", () => { activePromptTextarea[tab] = area; });
        }
    }
}

async function fetchTexts() {
    const answer = await fetch("./internal/ui/localization", { cache: "no-store" });
    if (answer.ok) Object.assign(localization, (await answer.json()).texts);
}

async function uiLoaded() {
    await Promise.all([window.a1111Page.mountTabs(), fetchSettings().catch(() => {}), fetchTexts().catch(() => {})]);
    notePrompts();
    uiLoadedCallbacks.done = true;
    executeCallbacks(uiLoadedCallbacks);
}

function changed(mutations) {
    if (uiLoadedCallbacks.started === undefined && document.querySelector("#tabs button[role=tab]")) {
        uiLoadedCallbacks.started = true;
        uiLoaded();
    }
    window.a1111Page.addOldClasses();
    executeCallbacks(uiUpdateCallbacks, mutations);
    clearTimeout(uiAfterUpdateTimer);
    uiAfterUpdateTimer = setTimeout(() => executeCallbacks(uiAfterUpdateCallbacks), 200);
    const tab = get_uiCurrentTab();
    if (tab && tab.id !== uiCurrentTab && uiLoadedCallbacks.done) {
        uiCurrentTab = tab.id;
        executeCallbacks(uiTabChangeCallbacks);
    }
}

function watchPage() {
    new MutationObserver(changed).observe(document, { childList: true, subtree: true });
    // Page scripts of extensions come right after this one and register their callbacks first.
    setTimeout(() => changed([]), 0);
}

if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", watchPage);
} else {
    watchPage();
}
document.addEventListener("click", (event) => {
    if (event.target.closest?.("#settings_submit, #tab_settings button")) setTimeout(() => fetchSettings().catch(() => {}), 800);
});

/** Show what page scripts say about words of the page; they replace `titles` by a larger one. */
function showTitles() {
    if (!Object.keys(window.titles).length) return;
    for (const part of document.querySelectorAll("span, button, select, p")) {
        const text = window.titles[part.textContent.trim()];
        if (text && !part.title) part.title = text;
    }
}

onAfterUiUpdate(showTitles);

Object.assign(window, {
    titles: {}, gradioApp, onUiUpdate, onAfterUiUpdate, onUiLoaded, onUiTabChange, onOptionsChanged, onOptionsAvailable,
    executeCallbacks, get_uiCurrentTab, get_uiCurrentTabContent, uiElementIsVisible, uiElementInSight, updateInput,
    switch_to_txt2img, switch_to_img2img, switch_to_extras, switch_to_img2img_tab, switch_to_inpaint,
    switch_to_sketch, all_gallery_buttons, selected_gallery_button, selected_gallery_index,
    extract_image_from_gallery, create_submit_args, randomId, submit, submit_txt2img_upscale, submit_img2img,
    showSubmitButtons, showRestoreProgressButton, request, pad2, formatTime, isMobile, getTranslation,
    inputAccordionChecked, rememberGallerySelection, getGallerySelectedIndex, attachGalleryListeners,
    setupExtraNetworksForTab, setRandomSeed, dimensionChange, restart_reload, opts, localization,
    ignore_ids_for_localization, activePromptTextarea, re_num, re_emoji, args_to_array, uiUpdateCallbacks,
    uiAfterUpdateCallbacks, uiLoadedCallbacks, uiTabChangeCallbacks, optionsChangedCallbacks,
    optionsAvailableCallbacks,
});
})();
