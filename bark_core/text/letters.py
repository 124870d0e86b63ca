"""The letters' names as English words, which a model that reads letter by letter says as it says any word."""

LETTERS = {
    "a": "ay", "b": "bee", "c": "see", "d": "dee", "e": "ee", "f": "ef", "g": "gee", "h": "aitch", "i": "eye", "j": "jay", "k": "kay", "l": "el", "m": "em",
    "n": "en", "o": "oh", "p": "pea", "q": "cue", "r": "are", "s": "ess", "t": "tea", "u": "you", "v": "vee", "w": "double you", "x": "ex", "y": "why", "z": "zee",
}  # fmt: skip
