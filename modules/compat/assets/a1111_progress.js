// A1111's way of following a task from a page script: a bar in front of a gallery, and the picture in the making.
"use strict";

(() => {
const PROGRESS_STEP_MS = 500;

function progressParts(container, gallery) {
    const made = (name) => Object.assign(document.createElement("div"), { className: name });
    const bar = made("progressDiv"), inner = made("progress"), preview = gallery ? made("livePreview") : null;
    bar.append(inner);
    container?.parentNode?.insertBefore(bar, container);
    if (preview) gallery.insertBefore(preview, gallery.firstElementChild);
    return { bar, inner, preview, remove: () => { bar.remove(); preview?.remove(); } };
}

function showTask(parts, answer) {
    const percent = Math.floor((answer.progress ?? 0) * 100);
    const left = answer.eta ? ` ETA: ${formatTime(answer.eta)}` : "";
    parts.inner.style.width = `${percent}%`;
    parts.inner.textContent = answer.queued ? answer.textinfo ?? "In queue..." : percent > 0 ? `${percent}%${left}` : answer.textinfo ?? "";
    if (!parts.preview || !answer.live_preview) return;
    const image = Object.assign(document.createElement("img"), { src: answer.live_preview });
    parts.preview.replaceChildren(image);
}

/** Ask how far a task is until it ends. */
function requestProgress(id_task, progressbarContainer, gallery, atEnd, onProgress, inactivityTimeout = 40) {
    const began = Date.now(), parts = progressParts(progressbarContainer, gallery);
    let active = false, id_live_preview = -1;
    const end = () => { parts.remove(); atEnd?.(); };
    const ask = () => request("./internal/progress", { id_task, id_live_preview, live_preview: Boolean(gallery) }, (answer) => {
        active ||= answer.active;
        showTask(parts, answer);
        id_live_preview = answer.id_live_preview ?? id_live_preview;
        onProgress?.(answer);
        const silent = !answer.active && !answer.queued && !active && Date.now() - began > inactivityTimeout * 1000;
        if (answer.completed || (active && !answer.active) || silent) end();
        else setTimeout(ask, opts.live_preview_refresh_period || PROGRESS_STEP_MS);
    }, end);
    ask();
}

window.requestProgress = requestProgress;
})();
