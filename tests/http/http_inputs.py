"""Inputs that the server must refuse, each with what it must say. Data of test_http.py."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from bark_core.audio.wav import encode_wav


def as_data_url(data: bytes) -> str:
    return f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"


def as_npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


VOICE = {
    "semantic_prompt": np.arange(60),
    "coarse_prompt": np.zeros((2, 90), dtype=np.int64),
    "fine_prompt": np.zeros((8, 90), dtype=np.int64),
}
SILENT_WAV = encode_wav(np.zeros(2400, dtype=np.float32), 24_000)

# Inputs that the schema refuses, each with the name and the reason that the answer gives.
MALFORMED: dict[str, tuple[dict[str, Any], str]] = {
    "text of 50001 characters": ({"prompt": "a" * 50_001}, "longer than 50000 characters"),
    "older name, 50001 characters": ({"text_prompt": "a" * 50_001}, "longer than 50000 characters"),
    "text that is a number": ({"prompt": 3}, "3 is not of type \"string\""),
    "unknown voice": ({"history_prompt": "v2/en_speaker_10"}, "is not one of"),
    "empty voice": ({"history_prompt": ""}, "is not one of"),
    "cold": ({"text_temp": -0.1}, "less than the minimum of 0"),
    "hot": ({"waveform_temp": 2.1}, "greater than the maximum of 2"),
    "hot details": ({"fine_temp": 3}, "greater than the maximum of 2"),
    "words for a number": ({"text_temp": "warm"}, "not of type \"number\""),
    "truth for a number": ({"text_temp": True}, "not of type \"number\""),
    "no end": ({"min_eos_p": 0}, "less than the minimum of 0.001"),
    "more than certain": ({"min_eos_p": 1.1}, "greater than the maximum of 1"),
    "top_k of 0": ({"top_k": 0}, "less than the minimum of 1"),
    "top_k of 1.5": ({"top_k": 1.5}, "not of type \"integer\""),
    "top_p of 0": ({"top_p": 0}, "less than the minimum of 0.01"),
    "top_p over 1": ({"top_p": 1.01}, "greater than the maximum of 1"),
    "negative seed": ({"seed": -1}, "less than the minimum of 0"),
    "seed of 33 bits": ({"seed": 2**32}, "greater than the maximum of 4294967295"),
    "half a seed": ({"seed": 0.5}, "not of type \"integer\""),
    "seed of null": ({"seed": None}, "not of type \"integer\""),
}

# Inputs that only the model can judge, each with the sentence that the answer gives.
UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "empty text": ({"prompt": ""}, "The text is empty; give at least one word to speak."),
    "blank text": ({"prompt": " \n\t "}, "The text is empty; give at least one word to speak."),
    "empty older name": ({"text_prompt": ""}, "The text is empty; give at least one word to speak."),
    "unknown words": ({"prompt": "Привет, мир!"}, "The model's tokenizer knows no word of the text ('Привет', 'мир'); give words in letters"),
    "long word": ({"prompt": "a" * 10_001}, "of 10001 characters, which is too long to be spoken at once; put spaces into it"),
    "voice of another model": ({"history_prompt": "v2/en_speaker_6"}, "is one of Suno's presets, which the model demo does not have"),
    "path on this machine": ({"custom_history_prompt": "/etc/passwd"}, "custom_history_prompt was '/etc/passwd'; it must be an uploaded file"),
    "file: URL": ({"custom_history_prompt": "file:///etc/passwd"}, "it must be an uploaded file"),
    "noise": ({"custom_history_prompt": as_data_url(b"\0" * 99)}, "custom_history_prompt is neither an .npz voice nor a WAV"),
    "WAV from elsewhere": ({"custom_history_prompt": as_data_url(SILENT_WAV)}, "custom_history_prompt is a WAV file without a voice in it (editing"),
    "MP3": ({"custom_history_prompt": as_data_url(b"ID3" + bytes(99))}, "custom_history_prompt is an MP3 file, and a voice is not cloned from a recording"),
    "half a WAV": ({"custom_history_prompt": as_data_url(SILENT_WAV[:99])}, "custom_history_prompt is cut off or damaged"),
    "half an npz": ({"custom_history_prompt": as_data_url(as_npz(**VOICE)[:500])}, "custom_history_prompt is damaged or no .npz voice"),
    "npz without an array": (
        {"custom_history_prompt": as_data_url(as_npz(semantic_prompt=VOICE["semantic_prompt"]))},
        "custom_history_prompt has no array coarse_prompt",
    ),
    "npz of the wrong shape": (
        {"custom_history_prompt": as_data_url(as_npz(**{**VOICE, "fine_prompt": VOICE["coarse_prompt"]}))},
        "custom_history_prompt has a fine_prompt of shape (2, 90); it must be (8, frames)",
    ),
}
