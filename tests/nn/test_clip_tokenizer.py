"""The CLIP tokenizer against open_clip's own, and torchvision installs that do not fit."""

import gzip
import importlib.util
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.domain.errors import BrokenFile
from modules.nn.clip_tokenizer import VOCABULARY, ClipTokenizer, load_clip_tokenizer, read_clip_tokenizer

ALPHABET = [
    *"abcdefghij ABC 0123,.:;!?()[]'<>_-éñüß日本語русский🍎\n\t\u2019\u201c\u201d…½ﬁＡＢİẞΣς",
    "👩‍👩‍👧",
    "&amp;",
    "&lt;",
    "'ll ",
    "<start_of_text>",
]


@pytest.fixture(scope="module")
def tokenizer() -> ClipTokenizer:
    return load_clip_tokenizer()


@pytest.fixture(scope="module")
def reference() -> Any:
    """open_clip's tokenizer module, loaded by itself: the package would bring torchvision and timm along."""
    package = importlib.util.find_spec("open_clip")
    assert package is not None
    assert package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer_only", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def test_ids_and_texts_equal_open_clips(tokenizer: ClipTokenizer, reference: Any):
    rng = random.Random(7)
    for _ in range(500):
        text = "".join(rng.choices(ALPHABET, k=rng.randint(0, 60)))
        ids = tokenizer.encode(text)
        assert ids == reference.encode(text), text
        assert tokenizer.decode(ids) == reference.decode(ids).strip()


@settings(deadline=None, database=None, max_examples=200)
@given(text=st.text())
def test_any_text_has_open_clips_ids(tokenizer: ClipTokenizer, reference: Any, text: str):
    assert tokenizer.encode(text) == reference.encode(text)


def test_half_surrogate_pairs_do_not_raise(tokenizer: ClipTokenizer):
    assert tokenizer.encode("a \ud800 b")


def test_numbers_of_the_vocabulary(tokenizer: ClipTokenizer):
    assert (len(tokenizer), tokenizer.bos, tokenizer.eos, tokenizer.comma_id) == (49408, 49406, 49407, 267)
    assert tokenizer.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert tokenizer.decode([320, 2368]) == "a cat"


def test_one_long_word_takes_time_in_line_with_its_length(tokenizer: ClipTokenizer):
    word = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=50_000))

    def seconds(text: str) -> float:
        start = time.process_time()
        tokenizer.encode(text)
        return time.process_time() - start

    short, long = (min(seconds(word[:n]) for _ in range(2)) for n in (12_500, 50_000))
    assert long < max(8 * short, 0.1)


def test_a_damaged_vocabulary_is_named(tmp_path: Path):
    path = tmp_path / VOCABULARY
    with pytest.raises(BrokenFile, match=VOCABULARY):
        read_clip_tokenizer(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(BrokenFile, match="cannot be read"):
        read_clip_tokenizer(path)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.write("heading\na b\n")
    with pytest.raises(BrokenFile, match="1 usable"):
        read_clip_tokenizer(path)


def test_open_clip_is_not_imported():
    code = "import sys; from modules.nn.clip_tokenizer import load_clip_tokenizer as load; load().encode('a cat'); "
    code += "raise SystemExit(bool({'open_clip', 'torch', 'torchvision', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


ENSURE = "from modules.nn.torchvision_guard import ensure_torchvision_importable as ensure\n"


def run(code: str, *path: Path) -> subprocess.CompletedProcess[str]:
    """Run a program that logs to stderr, with folders in front of the installed packages."""
    code = f"import sys, logging; sys.path[:0] = {[str(folder) for folder in path]}; logging.basicConfig()\n{code}"
    return subprocess.run([sys.executable, "-c", code], check=False, timeout=120, capture_output=True, text=True)


@pytest.mark.slow
def test_a_torchvision_without_its_operators_imports_after_the_guard(tmp_path: Path):
    (tmp_path / "torchvision").mkdir()
    source = "import torch\n" + "".join(
        f"torch.library.register_fake('torchvision::{name}')(lambda *boxes: None)\n" for name in ("nms", "qnms")
    )
    (tmp_path / "torchvision" / "__init__.py").write_text(source, encoding="utf-8")
    assert "nms does not exist" in run("import torchvision", tmp_path).stderr
    guarded = run(ENSURE + "ensure()\nensure()\nimport torchvision", tmp_path)
    assert guarded.returncode == 0, guarded.stderr
    assert guarded.stderr.count("Reinstall torch and torchvision together") == 1


@pytest.mark.slow
def test_transformers_and_diffusers_load_beside_any_torchvision():
    code = "ensure()\nensure()\nimport torchvision, diffusers\n"
    code += "from transformers.models.clip.modeling_clip import CLIPTextModel\nensure()\n"
    done = run(ENSURE + code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("do not fit torch") <= 1
