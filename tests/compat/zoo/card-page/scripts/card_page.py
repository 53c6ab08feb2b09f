"""A page of cards of its own, registered when the page is built."""

import os
from pathlib import Path

from modules import script_callbacks, shared, ui_extra_networks
from modules.ui_extra_networks import quote_js

FOLDER = os.path.join(shared.data_path, "spices")


class Spices(ui_extra_networks.ExtraNetworksPage):
    def __init__(self):
        super().__init__("Spice Rack")
        self.allow_negative_prompt = True
        self.looked = 0

    def refresh(self):
        self.looked += 1

    def create_item(self, name, index=None, enable_filter=True):
        path = os.path.join(FOLDER, name)
        return {
            "name": name,
            "filename": f"{path}.spice",
            "shorthash": "1234",
            "preview": self.find_preview(path),
            "description": self.find_description(path),
            "search_terms": [self.search_terms_from_path(f"{path}.spice"), "kitchen"],
            "prompt": quote_js(f"<spice:{name}:")
            + " + opts.extra_networks_default_multiplier + "
            + quote_js('> "hot"'),
            "negative_prompt": quote_js("(bland:1.2)"),
            "local_preview": f"{path}.png",
            "sort_keys": {"default": index, **self.get_sort_keys(f"{path}.spice")},
        }

    def list_items(self):
        for index, file in enumerate(sorted(Path(FOLDER).glob("*.spice"))):
            yield self.create_item(file.stem, index)
        yield {"name": "clicked", "filename": "", "onclick": '"' + "alert(&quot;x&quot;)" + '"'}
        yield {"name": "unread", "filename": "", "prompt": "somethingElse()"}

    def allowed_directories_for_previews(self):
        return [FOLDER]


script_callbacks.on_before_ui(lambda: ui_extra_networks.register_page(Spices()))
