"""The whole program in a process of its own, and a real browser that looks at it."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-first-run", "--disable-gpu",
]  # fmt: skip
START_S = 180.0
LEFT = "net::ERR_ABORTED"
"""What a browser calls a request that ends because its page does."""
CUT = re.compile("AbortError|Connection errored out|Failed to fetch")
"""What the scripts of a page say when the connections end that it held open."""
AWAY = re.compile(r"^(failed|503): |Failed to load resource: .*(net::ERR_|status of 503)")
"""What a browser says while the program is away."""
FOLLOWED = """(tab) => {
    const { pending = [], done = [] } = JSON.parse(localStorage.getItem(`webui.jobs.${tab}`) ?? "{}");
    return [...pending, ...done];
}"""
"""The jobs that a tab follows or has followed."""


def browser_path() -> str | None:
    """Return where a browser is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextlib.contextmanager
def program(folder: Path, *flags: str) -> Iterator[str]:
    """Run the program with a toy checkpoint; gives its address once the page is there."""
    from modules.families.toy.checkpoint import make_toy_checkpoint

    checkpoints = folder / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True, exist_ok=True)
    make_toy_checkpoint(checkpoints / "toy.safetensors")
    settings = {"show_progress_every_n_steps": 1, "samples_filename_pattern": "[seed]"}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ROOT / "webui.py"), "--api", "--port", str(port), "--data-dir", str(folder), *flags]
    environ = {**os.environ, "COMMANDLINE_ARGS": "", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for_page(address, process, folder / "log.txt")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _wait_for_page(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/", timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.3)
    raise AssertionError(f"the page did not appear: {log.read_text(errors='replace')[-3000:]}")


@dataclass
class Visit:
    """One page in a browser, and everything that went wrong in it."""

    page: Any
    address: str
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        page.on("console", lambda line: self._note(line.type == "error", f"console: {line.text}"))
        page.on("pageerror", lambda error: self._note(True, f"error: {error}"))
        page.on("request", lambda sent: self._note(self._is_foreign(sent.url), f"foreign: {sent.url}"))
        page.on("requestfailed", lambda sent: self._note(sent.failure != LEFT, f"failed: {sent.url}"))
        page.on("response", lambda got: self._note(got.status >= 400, f"{got.status}: {got.url}"))

    def _note(self, is_wrong: bool, text: str) -> None:
        if is_wrong:
            self.problems.append(text)

    def _is_foreign(self, url: str) -> bool:
        return not url.startswith((self.address + "/", "data:", "blob:"))

    def open(self, query: str = "") -> None:
        """Load the page and wait until it can be used."""
        with self.left():
            self.page.goto(f"{self.address}/{query}")

    def reload(self) -> None:
        """Load the page again and wait until it can be used."""
        with self.left():
            self.page.reload()

    @contextlib.contextmanager
    def restarted(self) -> Iterator[None]:
        """While the program ends and starts again, what asks it meanwhile gets no answer, or that it is starting."""
        known = len(self.problems)
        yield
        self.problems[known:] = [one for one in self.problems[known:] if not (CUT.search(one) or AWAY.search(one))]

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """While one page goes and the next comes, the cut connections of the first are no problem."""
        known = len(self.problems)
        yield
        self.page.wait_for_selector("#txt2img_generate")
        self.page.wait_for_function("window.webui !== undefined")
        self.problems[known:] = [problem for problem in self.problems[known:] if not CUT.search(problem)]

    def tab(self, name: str) -> None:
        """Bring a tab to the front."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def prompt(self, text: str) -> None:
        """Type a prompt."""
        self.page.fill("#txt2img_prompt textarea", text)

    def number(self, control: str, value: float, *, tab: str = "txt2img") -> None:
        """Type a number into a control, again if the page was still setting it itself."""
        found = self.page.locator(f"#{tab}_{control} input[type=number]")
        for _ in range(5):
            found.fill(str(value))
            found.press("Tab")
            self.page.wait_for_timeout(200)
            if float(found.input_value()) == value:
                return

    def shows(self, tab: str = "txt2img", **numbers: float) -> None:
        """Wait until controls show these numbers; the page fills its controls one after another."""
        for control, value in numbers.items():
            self.page.wait_for_function(
                "([selector, value]) => Number(document.querySelector(selector)?.value) === value",
                arg=[f"#{tab}_{control} input[type=number]", value],
            )

    def holds(self, selector: str, text: str) -> None:
        """Wait until a field holds exactly this text."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.value === text", arg=[selector, text]
        )

    def says(self, selector: str, text: str) -> None:
        """Wait until an element's text has this in it."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.innerText.includes(text)", arg=[selector, text]
        )

    def generate(self, tab: str = "txt2img") -> None:
        """Press Generate and wait until the job is followed, or has already ended: a small one takes milliseconds."""
        known = self.page.evaluate(FOLLOWED, tab)
        self.page.click(f"#{tab}_generate")
        self.page.wait_for_function(f"([tab, known]) => ({FOLLOWED})(tab).length > known", arg=[tab, len(known)])

    def wait_until_done(self, tab: str = "txt2img") -> None:
        """Wait until nothing runs and the result is shown."""
        self.page.wait_for_selector(f"#{tab}_generate_box:not([data-running])", timeout=120_000)
        self.page.wait_for_selector(f"#html_log_{tab} :is(.performance, .error)")

    def text(self, selector: str) -> str:
        """Return the text of an element."""
        return self.page.inner_text(selector)

    def api(self, path: str) -> Any:
        """Ask the server something from inside the page."""
        return self.page.evaluate("async (path) => await (await fetch(path)).json()", path)


def new_visit(browser: Any, address: str, *, width: int = 1280, height: int = 900) -> Visit:
    """Open the page in a browser that has never been here."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(45_000)
    page = Visit(context.new_page(), address)
    page.open()
    return page


@contextlib.contextmanager
def visiting(browser: Any, address: str, *, width: int = 1280, height: int = 900) -> Iterator[Visit]:
    """Open the page; at the end nothing may run any more and nothing may have gone wrong in it."""
    page = new_visit(browser, address, width=width, height=height)
    yield page
    while page.page.evaluate("document.querySelector('#txt2img_generate_box[data-running]') !== null"):
        page.page.keyboard.press("Escape")
        page.page.wait_for_timeout(300)
    page.page.context.close()
    assert page.problems == [], page.problems
