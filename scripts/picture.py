"""Draw what was spoken: waveform and spectrogram of a WAV of ours, under the words it says. docs/demo.png is made by it.

    make demo SEED=7 && .venv/bin/python scripts/picture.py out.wav -o docs/demo.png
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
import wave
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bark_core.audio.files import write_atomically  # noqa: E402
from bark_core.errors import BarkError  # noqa: E402
from bark_core.voices.files import read_info  # noqa: E402

PAPER, INK, SOFT, ACCENT = "#ffffff", "#221e18", "#635b4f", "#0e6f58"
SPECTRUM = ["#ffffff", "#e6f0ec", "#8fc4b1", "#2f9377", "#0e5d4b", "#06251b"]
WIDTH_IN, HEIGHT_IN, DPI = 11.0, 4.4, 110
N_FFT, HOP = 512, 120
RANGE_DB = 65.0
"""How far below the loudest the palest colour lies."""


def read_audio(path: Path) -> tuple[np.ndarray, int]:
    """Return samples (N,) in ±1 and the sample rate of a 16-bit mono WAV."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        return samples / 32768, file.getframerate()


def measure_spectrum(audio: np.ndarray) -> np.ndarray:
    """Return the power of each frequency (rows, from 0 Hz up) in each short time, in dB below the loudest: (N_FFT / 2 + 1, frames)."""
    padded = np.pad(audio, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP] * np.hanning(N_FFT)
    power = np.abs(np.fft.rfft(frames, axis=1)).T ** 2
    return 10 * np.log10(np.maximum(power / max(power.max(), 1e-12), 1e-12))


def find_top_khz(audio: np.ndarray, rate_hz: int) -> int:
    """Return the even number of kHz below which all but a ten-thousandth of the power lies."""
    share = np.cumsum(np.abs(np.fft.rfft(audio)) ** 2)
    highest_hz = int(np.searchsorted(share, 0.9999 * share[-1])) * rate_hz / max(audio.size, 1)
    return max(2, 2 * int(np.ceil(highest_hz / 2000)))


def draw(audio: np.ndarray, rate_hz: int, title: str, facts: str) -> bytes:
    """Return a PNG of the two, one above the other, on one axis of time."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from matplotlib.colors import LinearSegmentedColormap

    seconds = audio.size / rate_hz
    figure, (top, below) = pyplot.subplots(2, 1, sharex=True, figsize=(WIDTH_IN, HEIGHT_IN), height_ratios=(1, 1.7), facecolor=PAPER, layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(title, 90)), x=0.012, ha="left", fontsize=13, fontweight="bold", color=INK)
    # A column of a pixel's width from the lowest to the highest sample in it.
    columns = np.array_split(audio, min(1000, audio.size))
    times = np.linspace(0, seconds, len(columns))
    top.fill_between(times, [part.min() for part in columns], [part.max() for part in columns], color=ACCENT, linewidth=0.4)
    limit = 1.05 * max(float(np.abs(audio).max(initial=0.0)), 0.01)
    top.set(ylim=(-limit, limit), yticks=[], facecolor=PAPER)
    shades = LinearSegmentedColormap.from_list("bark", SPECTRUM)
    extent = (0, seconds, 0, rate_hz / 2000)
    below.imshow(measure_spectrum(audio), origin="lower", aspect="auto", extent=extent, cmap=shades, vmin=-RANGE_DB, vmax=0, interpolation="bilinear")
    below.set_ylabel("kHz", color=SOFT)
    below.set_xlabel(f"seconds · {facts}", color=SOFT, loc="left")
    for axes in (top, below):
        axes.spines[:].set_visible(False)
        axes.tick_params(colors=SOFT, length=0)
    top_khz = find_top_khz(audio, rate_hz)
    below.set(yticks=range(0, top_khz + 1, 2), ylim=(0, top_khz), xlim=(0, seconds))
    return render(figure)


def render(figure: Any) -> bytes:
    """Return the PNG of a figure in 64 colours, which are as many as it has, and a third of the bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=DPI)
    small = io.BytesIO()
    Image.open(buffer).convert("RGB").quantize(64, method=Image.Quantize.MAXCOVERAGE).save(small, "PNG", optimize=True)
    return small.getvalue()


def describe(info: dict[str, Any]) -> tuple[str, str]:
    """Return the words that a WAV of ours says, and what made it."""
    facts = [f"the model {info['model']}" if "model" in info else "", f"seed {info['seed']}" if "seed" in info else ""]
    return f"“{info.get('text', 'a voice without words')}”", ", ".join(filter(None, facts))


def main() -> int:
    """Run the script; return its exit code."""
    parser = argparse.ArgumentParser(description="Draw waveform and spectrogram of a WAV that this program wrote.")
    parser.add_argument("wav", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("picture.png"), help="where the PNG goes (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        title, facts = describe(read_info(arguments.wav))
        audio, rate_hz = read_audio(arguments.wav)
        write_atomically(arguments.output, draw(audio, rate_hz, title, facts))
    except ModuleNotFoundError as error:
        print(f"picture: drawing needs the package {error.name}; pip install 'bark-core[train]'.", file=sys.stderr)
        return 1
    except (BarkError, OSError, wave.Error) as error:
        print(f"picture: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {arguments.output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
