"""Stands before the kind `lora` and hands tags on at another strength, or none of them."""

from modules import extra_networks

INNER = extra_networks.extra_network_registry["lora"]


class Half(extra_networks.ExtraNetwork):
    def __init__(self):
        super().__init__("lora")

    def activate(self, p, params_list):
        kept = [one for one in params_list if one.positional[0] != "forbidden"]
        halved = [
            extra_networks.ExtraNetworkParams([one.positional[0], str(float(one.positional[1]) / 2)]) for one in kept
        ]
        INNER.activate(p, halved)

    def deactivate(self, p):
        INNER.deactivate(p)


extra_networks.register_extra_network(Half())
