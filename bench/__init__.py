"""`make bench`: the figures that NoMoat promises, measured as ratios in one run on this machine."""
