"""When the turbine stops by itself: what is measured, compared with what the rotor and the tower take."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from examples.turbine.schedule import CUT_OUT, RATED_SPEED

OVERSPEED: Final = 1.12 * RATED_SPEED
TOWER_SWAY: Final = 0.85  # metres, at the nacelle
ICE_IMBALANCE: Final = 0.34  # of the rotor's weight, as the strain gauges see it
PATIENCE: Final = 1.6  # seconds that a gust may last


class Stop(StrEnum):
    """Why the turbine stops."""

    OVERSPEED = "overspeed"
    STORM = "storm"
    SWAY = "sway"
    ICE = "ice"


@dataclass(frozen=True, slots=True)
class Measured:
    """One sample of the sensors."""

    rotor_speed: float
    wind_speed: float
    sway: float
    imbalance: float


@dataclass(slots=True)
class Protection:
    """Watches samples, and says when to stop and why."""

    beyond: float = 0.0

    def watch(self, sample: Measured, seconds: float) -> Stop | None:
        """Why to stop now; None to go on."""
        if sample.rotor_speed > OVERSPEED:
            return Stop.OVERSPEED
        if sample.imbalance > ICE_IMBALANCE:
            return Stop.ICE
        self.beyond = self.beyond + seconds if sample.wind_speed > CUT_OUT else 0.0
        if self.beyond > PATIENCE:
            return Stop.STORM
        return Stop.SWAY if sample.sway > TOWER_SWAY else None
