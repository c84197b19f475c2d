"""Super-resolution: nets, tiles, and the runner behind the upscale tool."""
