"""Photos with several people, made of the sample photos."""

from __future__ import annotations

from PIL import Image

from testing.paths import SAMPLES


def beside(*names: str, scale: float = 1) -> Image.Image:
    """Put sample photos side by side. scale: of all but the first one."""
    parts = [Image.open(SAMPLES / f"{name}.jpg").convert("RGB") for name in names]
    parts[1:] = [part.resize((round(part.width * scale), round(part.height * scale))) for part in parts[1:]]
    whole = Image.new("RGB", (sum(part.width for part in parts), max(part.height for part in parts)), "grey")
    for i, part in enumerate(parts):
        whole.paste(part, (sum(other.width for other in parts[:i]), 0))
    return whole
