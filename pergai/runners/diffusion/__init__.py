"""Diffusion: scenes and borders painted by Stable Diffusion inpainting, batched step by step.

The story of one picture: `runner` hands a job to `scene` or `expand`, which prepare a canvas and a mask and ask the
device for a `request`; on the device `model` takes it up (`text` encodes its words, `vae` its pixels), moves it
along with everybody else's one `step` at a time under its own scheduler (`schedulers`), and decodes it when it
is done. `load` brings weights from the disk as their card's `switches` say, `generic` runs whatever the engine cannot take apart.
"""
