"""Run the stages one by one and look at the tokens in between. One generator through all draws what `generate` draws."""

import torch

from bark_core import Bark

bark = Bark.load("demo", precision="fp32")
generator = torch.Generator().manual_seed(7)
semantic = bark.generate_semantic("One stage after another.", seed=generator, max_seconds=10)
coarse = bark.generate_coarse(semantic, seed=generator)
fine = bark.generate_fine(coarse, seed=generator)
audio = bark.decode(fine)
print(semantic.shape, coarse.shape, fine.shape, audio.shape)
assert (bark.generate("One stage after another.", seed=7, max_seconds=10).audio == audio).all()
