"""Product photography on physically rendered sets: path-traced, denoised, the product's own pixels on top.

The story of one picture: `spec` reads the scene card's set, `reader` adjusts it to the prompt, `stage` builds
it (geometry, materials, lights, camera, and the product's `card`), `model` path-traces it on the device,
`develop` turns light into a photograph, `runner` puts the product's pixels on top.
"""
