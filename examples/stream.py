"""Speech as it comes: the first chunk is there long before the last, and can be played meanwhile."""

import time

from bark_core import Bark

TEXT = "The train leaves at nine. It stops at every village on the way, and nobody is in a hurry. We shall see the sea before noon, and then walk."

bark = Bark.load("demo")
begin = time.perf_counter()
with bark.stream(TEXT, seed=2, split=True) as chunks:
    for chunk in chunks:
        print(f"after {time.perf_counter() - begin:.1f} s: {len(chunk.audio) / bark.sample_rate:.1f} s of audio from {chunk.start / bark.sample_rate:.1f} s on")
