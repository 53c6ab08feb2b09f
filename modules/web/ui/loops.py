"""Keep gradio from leaving event loops behind."""

import asyncio

from gradio import queueing, utils


def make_no_loops() -> None:
    """Let gradio's locks be plain ones.

    For each of them it makes an event loop that nobody runs or closes, with two sockets: a handful for each page, and
    again whenever the page is built anew. Since Python 3.10 a lock needs no loop to be made.
    """
    queueing.safe_get_lock = utils.safe_get_lock = asyncio.Lock  # pyright: ignore[reportPrivateImportUsage]
    utils.safe_get_stop_event = asyncio.Event
