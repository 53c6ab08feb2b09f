"""Pictures a second for one client, and for several at once, on the shipped checkpoint.

    python -m benchmarks.load_throughput [--clients 8] [--pictures 4] [--size 128] [--steps 20] [--rounds 3]

One client waits for each picture before it asks for the next, so between two of its pictures the worker has nothing to
do. With several, the next job samples while the last one's pictures are encoded and saved.
"""

import time

from benchmarks.load_house import Server, serving, together
from benchmarks.measure import ROOT, Result, parser_of, ratio, show, summary

CHECKPOINT = ROOT / "models" / "Stable-diffusion" / "shapes-v1.safetensors"


def rate(server: Server, clients: int, pictures: int, size: int, steps: int) -> float:
    """Return the pictures a second that clients get together."""

    def client() -> int:
        answers = [server.txt2img(width=size, height=size, steps=steps, seed=seed) for seed in range(pictures)]
        return sum(answer.status == 200 for answer in answers)

    begun = time.perf_counter()
    made = sum(together([client] * clients))
    if made != clients * pictures:
        raise SystemExit(f"{clients * pictures - made} requests failed")
    return made / (time.perf_counter() - begun)


def measure(clients: int, pictures: int, size: int, steps: int, rounds: int) -> Result:
    """Take turns between one client and several."""
    alone: list[float] = []
    crowd: list[float] = []
    with serving(checkpoint=CHECKPOINT) as server:
        server.txt2img(width=size, height=size, steps=steps)
        for _ in range(rounds):
            alone.append(rate(server, 1, pictures * clients, size, steps))
            crowd.append(rate(server, clients, pictures, size, steps))
    return {
        "size": size, "steps": steps, "clients": clients,
        "one_client_per_s": summary(alone), "together_per_s": summary(crowd),
        "together/one": ratio(crowd, alone),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = parser_of(__doc__)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=4, help="that each client asks for")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    show(measure(asked.clients, asked.pictures, asked.size, asked.steps, asked.rounds))


if __name__ == "__main__":
    main()
