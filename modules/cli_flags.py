"""Every command line flag, written out: A1111's names and defaults, and what this program does with each.

`ROOT` in a default stands for the program folder, `DATA` for `--data-dir`, `MODELS` for `--models-dir`.
"""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a flag takes."""

    SWITCH = "switch"
    """Nothing; giving it means yes."""
    TEXT = "text"
    MAYBE = "maybe"
    """A text or nothing."""
    PATH = "path"
    INT = "int"
    JSON = "json"
    WORDS = "words"
    """One or more words after the flag, or one text with commas."""
    PATHS = "paths"
    """One path each time the flag is given."""


class Status(Enum):
    """What happens when somebody uses the flag."""

    WORKS = "works"
    PLANNED = "planned"
    """Accepted, with one line saying that it is not supported yet."""
    SILENT = "silent"
    """Accepted without a word: there is nothing to do for it, here or upstream."""
    REFUSED = "refused"
    """Stops the program, because going on would not do what was asked."""


SWITCH, TEXT, MAYBE, PATH, INT, JSON, WORDS, PATHS = Kind
WORKS, PLANNED, SILENT, REFUSED = Status

Default = bool | int | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Flag:
    """One command line flag."""

    name: str
    kind: Kind
    default: Default
    status: Status
    help: str
    choices: tuple[str, ...] | None = None
    alias: str | None = None
    secret: bool = False
    """Its value is never shown by `/sdapi/v1/cmd-flags`."""

    @property
    def dest(self) -> str:
        """Name in `/sdapi/v1/cmd-flags`: the flag without dashes in front and with `_` for `-`."""
        return self.name.lstrip("-").replace("-", "_")


LAUNCHER = (
    Flag("-f", SWITCH, False, SILENT, "A1111's permission to run as root; root only gets a warning here"),
    Flag("--exit", SWITCH, False, WORKS, "stop after installing"),
    Flag("--skip-install", SWITCH, False, WORKS, "start without looking at the installed packages"),
    Flag("--skip-prepare-environment", SWITCH, False, WORKS, "the same as --skip-install"),
    Flag("--reinstall-torch", SWITCH, False, WORKS, "install torch again even if it is there"),
    Flag("--reinstall-xformers", SWITCH, False, PLANNED, "install xformers again even if it is there"),
    Flag("--skip-python-version-check", SWITCH, False, WORKS, "accept any version of Python"),
    Flag("--skip-torch-cuda-test", SWITCH, False, SILENT, "a missing GPU never stops this program"),
    Flag("--update-check", SWITCH, False, PLANNED, "say whether there is a newer version"),
    Flag("--update-all-extensions", SWITCH, False, WORKS, "update every extension at start"),
    Flag("--test-server", SWITCH, False, PLANNED, "A1111's arrangement for its own tests"),
    Flag("--log-startup", SWITCH, False, WORKS, "say how long each part of the start took"),
    Flag("--dump-sysinfo", SWITCH, False, PLANNED, "write a file about this system and stop"),
    Flag(
        "--loglevel",
        TEXT,
        None,
        WORKS,
        "how much is logged (else the environment variable SD_WEBUI_LOG_LEVEL)",
        choices=("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG"),
    ),
    Flag("--do-not-download-clip", SWITCH, False, SILENT, "text encoders are never downloaded at start"),
    Flag("--metrics", SWITCH, False, WORKS, "offer numbers for Prometheus at /metrics"),
    Flag("--shutdown-timeout", INT, 30, WORKS, "seconds a running job may take to finish when the server is stopped"),
)

PLACES = (
    Flag("--data-dir", PATH, "ROOT", WORKS, "base folder of models, outputs, extensions and settings"),
    Flag("--models-dir", PATH, "DATA/models", WORKS, "base folder of models"),
    Flag("--config", PATH, "ROOT/configs/v1-inference.yaml", PLANNED, "model configuration used when none fits"),
    Flag("--ckpt", PATH, "ROOT/model.ckpt", WORKS, "checkpoint to list and load first"),
    Flag("--ckpt-dir", PATH, None, WORKS, "further folder with checkpoints"),
    Flag("--vae-dir", PATH, None, WORKS, "further folder with VAEs"),
    Flag("--vae-path", PATH, None, WORKS, "use this VAE whatever the settings say"),
    Flag("--gfpgan-dir", PATH, "./GFPGAN", PLANNED, "folder of an old GFPGAN checkout"),
    Flag("--gfpgan-model", PATH, None, PLANNED, "file name of the GFPGAN model"),
    Flag("--embeddings-dir", PATH, "DATA/embeddings", WORKS, "folder of textual inversion embeddings"),
    Flag(
        "--textual-inversion-templates-dir",
        PATH,
        "ROOT/textual_inversion_templates",
        PLANNED,
        "folder of caption templates for training",
    ),
    Flag("--hypernetwork-dir", PATH, "MODELS/hypernetworks", WORKS, "folder of hypernetworks"),
    Flag("--localizations-dir", PATH, "ROOT/localizations", PLANNED, "folder of translations"),
    Flag("--codeformer-models-path", PATH, "MODELS/Codeformer", PLANNED, "folder of CodeFormer models"),
    Flag("--gfpgan-models-path", PATH, "MODELS/GFPGAN", PLANNED, "folder of GFPGAN models"),
    Flag("--esrgan-models-path", PATH, "MODELS/ESRGAN", PLANNED, "folder of ESRGAN models"),
    Flag("--bsrgan-models-path", PATH, "MODELS/BSRGAN", PLANNED, "folder of BSRGAN models"),
    Flag("--realesrgan-models-path", PATH, "MODELS/RealESRGAN", PLANNED, "folder of RealESRGAN models"),
    Flag("--dat-models-path", PATH, "MODELS/DAT", PLANNED, "folder of DAT models"),
    Flag("--clip-models-path", PATH, None, PLANNED, "folder of the CLIP models that describe pictures"),
    Flag("--ldsr-models-path", PATH, "MODELS/LDSR", PLANNED, "folder of LDSR models"),
    Flag("--lora-dir", PATH, "MODELS/Lora", WORKS, "folder of LoRAs"),
    Flag("--lyco-dir-backcompat", PATH, "MODELS/LyCORIS", WORKS, "second folder of LoRAs", alias="--lyco-dir"),
    Flag("--scunet-models-path", PATH, "MODELS/ScuNET", PLANNED, "folder of ScuNET models"),
    Flag("--swinir-models-path", PATH, "MODELS/SwinIR", PLANNED, "folder of SwinIR models"),
    Flag("--ui-config-file", PATH, "DATA/ui-config.json", PLANNED, "file with the defaults of the interface"),
    Flag("--ui-settings-file", PATH, "DATA/config.json", WORKS, "file with the settings"),
    Flag("--styles-file", PATHS, (), WORKS, "styles file or wildcard, repeatable; new styles go to the first"),
    Flag("--gradio-allowed-path", PATHS, ("DATA",), WORKS, "further folder whose files may be served, repeatable"),
    Flag("--unix-filenames-sanitization", SWITCH, False, PLANNED, "replace only / in file names"),
    Flag("--filenames-max-length", INT, 128, PLANNED, "longest part of a file name, in characters"),
)

PRECISION_AND_MEMORY = (
    Flag("--no-half", SWITCH, False, WORKS, "keep the networks in float32"),
    Flag("--no-half-vae", SWITCH, False, WORKS, "keep the VAE in float32"),
    Flag(
        "--precision",
        TEXT,
        "autocast",
        WORKS,
        "precision of evaluation; half cannot be combined with --no-half",
        choices=("full", "half", "autocast"),
    ),
    Flag("--upcast-sampling", SWITCH, False, SILENT, "sampling always runs in float32, whatever the weights are in"),
    Flag("--medvram", SWITCH, False, WORKS, "keep only the component in use on the GPU"),
    Flag("--medvram-sdxl", SWITCH, False, WORKS, "--medvram for SDXL checkpoints only"),
    Flag("--lowvram", SWITCH, False, WORKS, "stream the network's layers through the GPU; slow"),
    Flag("--lowram", SWITCH, False, PLANNED, "load weights straight to the GPU"),
    Flag("--use-cpu", WORDS, (), WORKS, "parts to run on the CPU: all, sd, ..."),
    Flag("--use-ipex", SWITCH, False, PLANNED, "run on an Intel GPU"),
    Flag("--device-id", TEXT, None, WORKS, "index of the CUDA device"),
    Flag(
        "--disable-model-loading-ram-optimization",
        SWITCH,
        False,
        SILENT,
        "weights are mapped from the file, which needs no switch",
    ),
    Flag("--disable-nan-check", SWITCH, False, WORKS, "do not look for NaN in results"),
    Flag("--disable-safe-unpickle", SWITCH, False, WORKS, "load pickled checkpoints without checking what they run"),
    Flag("--opt-channelslast", SWITCH, False, WORKS, "use the channels-last memory format"),
    Flag("--no-hashing", SWITCH, False, WORKS, "never compute the hash of a model file"),
    Flag("--no-download-sd-model", SWITCH, False, SILENT, "no checkpoint is ever downloaded unasked"),
    Flag("--always-batch-cond-uncond", SWITCH, False, SILENT, "without effect upstream"),
    Flag("--unload-gfpgan", SWITCH, False, SILENT, "without effect upstream"),
)

ATTENTION = (
    Flag("--xformers", SWITCH, False, WORKS, "use attention of the package xformers"),
    Flag("--force-enable-xformers", SWITCH, False, WORKS, "the same as --xformers, which asks the device itself"),
    Flag("--xformers-flash-attention", SWITCH, False, PLANNED, "use the flash kernel of xformers"),
    Flag("--opt-sdp-attention", SWITCH, False, WORKS, "prefer scaled dot product attention of torch"),
    Flag("--opt-sdp-no-mem-attention", SWITCH, False, WORKS, "the same without its memory-efficient kernel"),
    Flag("--opt-split-attention", SWITCH, False, WORKS, "prefer attention in slices"),
    Flag("--opt-split-attention-invokeai", SWITCH, False, WORKS, "prefer the slices InvokeAI uses"),
    Flag("--opt-split-attention-v1", SWITCH, False, WORKS, "prefer the older slices"),
    Flag("--opt-sub-quad-attention", SWITCH, False, WORKS, "prefer attention with sub-quadratic memory"),
    Flag("--sub-quad-q-chunk-size", INT, 1024, WORKS, "queries per chunk of sub-quadratic attention"),
    Flag("--sub-quad-kv-chunk-size", INT, None, WORKS, "keys per chunk of sub-quadratic attention"),
    Flag("--sub-quad-chunk-threshold", INT, None, WORKS, "percent of GPU memory from which chunks are used"),
    Flag("--disable-opt-split-attention", SWITCH, False, WORKS, "prefer plain attention"),
)

NETWORK = (
    Flag("--listen", SWITCH, False, WORKS, "accept connections from other machines (0.0.0.0)"),
    Flag("--server-name", TEXT, None, WORKS, "accept connections on this address"),
    Flag("--port", INT, None, WORKS, "port to listen on (7860, or 7861 with --nowebui)"),
    Flag("--share", SWITCH, False, REFUSED, "this program opens no tunnel; use --listen with --gradio-auth"),
    Flag("--ngrok", TEXT, None, REFUSED, "this program opens no tunnel; run ngrok beside it", secret=True),
    Flag("--ngrok-region", TEXT, "", SILENT, "without effect upstream"),
    Flag("--ngrok-options", JSON, None, SILENT, "without effect, as there is no tunnel", secret=True),
    Flag("--subpath", TEXT, None, WORKS, "path under which a reverse proxy serves this program"),
    Flag("--gradio-auth", TEXT, None, WORKS, "logins for the interface: user:password,user2:password2", secret=True),
    Flag("--gradio-auth-path", PATH, None, WORKS, "file with such logins, separated by commas or lines"),
    Flag("--gradio-debug", SWITCH, False, PLANNED, "gradio's debug mode"),
    Flag("--gradio-queue", SWITCH, True, SILENT, "without effect upstream"),
    Flag("--no-gradio-queue", SWITCH, False, SILENT, "generation never runs in gradio's queue"),
    Flag("--cors-allow-origins", TEXT, None, WORKS, "web origins that may call the API, separated by commas"),
    Flag("--cors-allow-origins-regex", TEXT, None, WORKS, "the same as one regular expression"),
    Flag("--tls-keyfile", PATH, None, WORKS, "private key for HTTPS; needs --tls-certfile"),
    Flag("--tls-certfile", PATH, None, WORKS, "certificate for HTTPS; needs --tls-keyfile"),
    Flag("--disable-tls-verify", SWITCH, False, SILENT, "this program never calls itself over TLS"),
    Flag("--timeout-keep-alive", INT, 30, WORKS, "seconds an idle connection is kept"),
    Flag("--api", SWITCH, False, WORKS, "offer the REST API beside the interface"),
    Flag("--nowebui", SWITCH, False, WORKS, "offer the REST API only"),
    Flag("--api-auth", TEXT, None, WORKS, "logins for the API: user:password,user2:password2", secret=True),
    Flag("--api-log", SWITCH, False, WORKS, "log one line for each API request"),
    Flag("--api-server-stop", SWITCH, False, WORKS, "let API clients stop and restart the server"),
    Flag("--add-stop-route", SWITCH, False, SILENT, "without effect upstream"),
    Flag(
        "--enable-insecure-extension-access",
        SWITCH,
        False,
        WORKS,
        "let other machines install extensions",
    ),
)

INTERFACE_AND_SAFETY = (
    Flag("--autolaunch", SWITCH, False, WORKS, "open a browser when the server is ready"),
    Flag("--theme", TEXT, None, WORKS, "colours of the interface", choices=("light", "dark")),
    Flag("--use-textbox-seed", SWITCH, False, PLANNED, "enter seeds in a text box"),
    Flag("--allow-code", SWITCH, False, PLANNED, "allow scripts that run code typed in the browser"),
    Flag("--hide-ui-dir-config", SWITCH, False, WORKS, "hide and lock settings about folders and file names"),
    Flag("--freeze-settings", SWITCH, False, WORKS, "no setting can be changed"),
    Flag("--freeze-settings-in-sections", TEXT, None, WORKS, "sections of settings that cannot be changed"),
    Flag("--freeze-specific-settings", TEXT, None, WORKS, "settings that cannot be changed"),
    Flag("--administrator", SWITCH, False, SILENT, "without effect upstream"),
    Flag("--ui-debug-mode", SWITCH, False, PLANNED, "start without a model"),
    Flag("--skip-load-model-at-start", SWITCH, False, WORKS, "load the model at its first use"),
    Flag("--disable-all-extensions", SWITCH, False, WORKS, "run no extension"),
    Flag("--disable-extra-extensions", SWITCH, False, WORKS, "run only the extensions shipped with the program"),
    Flag("--no-prompt-history", SWITCH, False, WORKS, "do not keep the last parameters in params.txt"),
    Flag("--no-progressbar-hiding", SWITCH, False, SILENT, "progress is not shown by gradio"),
    Flag("--disable-console-progressbars", SWITCH, False, SILENT, "there are no progress bars on the console"),
    Flag("--enable-console-prompts", SWITCH, False, PLANNED, "print prompts on the console"),
    Flag("--skip-version-check", SWITCH, False, SILENT, "versions of packages are fixed when they are installed"),
    Flag("--max-batch-count", INT, 16, SILENT, "without effect upstream"),
    Flag("--show-negative-prompt", SWITCH, False, SILENT, "without effect upstream"),
    Flag("--deepdanbooru", SWITCH, False, SILENT, "without effect upstream"),
    Flag("--gradio-img2img-tool", TEXT, None, SILENT, "without effect upstream"),
    Flag("--gradio-inpaint-tool", TEXT, None, SILENT, "without effect upstream"),
)


def _planned(kind: Kind, *names: str) -> tuple[Flag, ...]:
    default = False if kind is SWITCH else None
    return tuple(Flag(name, kind, default, PLANNED, "flag of a fork of A1111") for name in names)


FORKS = (
    *_planned(SWITCH, "--skip-ort", "--use-cpu-torch", "--use-directml", "--use-zluda", "--use-nightly", "--use-rocm"),
    *_planned(PATH, "--forge-ref-a1111-home", "--controlnet-dir", "--controlnet-preprocessor-models-dir"),
    *_planned(PATH, "--text-encoder-dir"),
    *_planned(TEXT, "--controlnet-loglevel", "--gpu-device-id", "--reserve-vram"),
    *_planned(MAYBE, "--directml"),
    *_planned(SWITCH, "--controlnet-tracemalloc", "--skip-google-blockly"),
    *_planned(SWITCH, "--always-gpu", "--always-high-vram", "--always-normal-vram", "--always-low-vram"),
    *_planned(SWITCH, "--always-no-vram", "--always-cpu", "--always-offload-from-vram"),
    *_planned(SWITCH, "--all-in-fp32", "--all-in-fp16"),
    *_planned(SWITCH, "--unet-in-bf16", "--unet-in-fp16", "--unet-in-fp8-e4m3fn", "--unet-in-fp8-e5m2"),
    *_planned(SWITCH, "--vae-in-fp16", "--vae-in-fp32", "--vae-in-bf16", "--vae-in-cpu"),
    *_planned(SWITCH, "--clip-in-fp8-e4m3fn", "--clip-in-fp8-e5m2", "--clip-in-fp16", "--clip-in-fp32"),
    *_planned(SWITCH, "--attention-split", "--attention-quad", "--attention-pytorch", "--disable-xformers"),
    Flag(
        "--force-upcast-attention",
        SWITCH,
        False,
        WORKS,
        "compute attention in float32, as the setting upcast_attn does",
    ),
    Flag(
        "--disable-attention-upcast",
        SWITCH,
        False,
        SILENT,
        "attention is only computed in float32 where it would otherwise be no number",
    ),
    Flag("--dont-upcast-attention", SWITCH, False, SILENT, "the same as --disable-attention-upcast"),
    *_planned(SWITCH, "--disable-ipex-hijack", "--pytorch-deterministic", "--disable-gpu-warning"),
    *_planned(SWITCH, "--cuda-malloc", "--cuda-stream", "--pin-shared-memory"),
    *_planned(SWITCH, "--use-sage-attention", "--use-flash-attention", "--torch-compile", "--fast"),
    *_planned(SWITCH, "--async-offload", "--disable-smart-memory", "--mmap-torch-files", "--disable-mmap"),
    *_planned(SWITCH, "--allow-fp16-accumulation", "--supports-fp8-compute"),
)

GROUPS: tuple[tuple[str, tuple[Flag, ...]], ...] = (
    ("launcher", LAUNCHER),
    ("places", PLACES),
    ("precision and memory", PRECISION_AND_MEMORY),
    ("attention", ATTENTION),
    ("network", NETWORK),
    ("interface and safety", INTERFACE_AND_SAFETY),
    ("flags of forks", FORKS),
)
FLAGS = tuple(flag for _, group in GROUPS for flag in group)
