"""Brings kinds of tags, one with another name too."""

from modules import extra_networks, script_callbacks

SEEN = []


class Tint(extra_networks.ExtraNetwork):
    """Moves every estimate by a number while a tag asks for it."""

    def __init__(self):
        super().__init__("tint")
        self.amount = 0.0

    def activate(self, p, params_list):
        SEEN.append(("activate", [(one.positional, dict(one.named)) for one in params_list]))
        self.amount = sum(float(one.named.get("by", one.positional[-1])) for one in params_list)

    def deactivate(self, p):
        SEEN.append(("deactivate", []))
        self.amount = 0.0


class Failing(extra_networks.ExtraNetwork):
    def __init__(self):
        super().__init__("failing")

    def activate(self, p, params_list):
        if params_list:
            raise ValueError("no such thing")

    def deactivate(self, p):
        pass


tint = Tint()
extra_networks.register_extra_network(tint)
extra_networks.register_extra_network_alias(tint, "tinge")
extra_networks.register_extra_network(Failing())


def denoised(params):
    if tint.amount:
        params.x += tint.amount


script_callbacks.on_cfg_denoised(denoised)
