"""Extension: the background of a picture continued over a larger canvas; pure functions on pixels."""

from pergai.imaging.extension.grow import Extension, background_mask, extend
from pergai.imaging.extension.plan import Plan, plan_canvas, resample, resample_cut_out

__all__ = ["Extension", "Plan", "background_mask", "extend", "plan_canvas", "resample", "resample_cut_out"]
