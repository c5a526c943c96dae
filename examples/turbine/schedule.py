"""How strongly the controller answers: gains by pitch, and the speed that the rotor is held at by wind."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

CUT_IN: Final = 3.5  # metres a second: below, the rotor idles
CUT_OUT: Final = 24.0  # above, the blades feather
RATED_WIND: Final = 11.4
RATED_SPEED: Final = 12.1  # revolutions a minute
IDLE_SPEED: Final = 6.9


@dataclass(frozen=True, slots=True)
class Gain:
    """What the controller makes of an error of one revolution a minute."""

    proportional: float
    integral: float
    derivative: float


# Measured on the test stand in Husum, by pitch in degrees: a blade that is turned further answers more.
PITCHES: Final = (0.0, 4.0, 8.0, 12.0, 16.0, 20.0)
GAINS: Final = (
    Gain(1.93, 0.84, 0.071),
    Gain(1.22, 0.53, 0.052),
    Gain(0.89, 0.38, 0.041),
    Gain(0.71, 0.30, 0.034),
    Gain(0.58, 0.25, 0.029),
    Gain(0.49, 0.21, 0.026),
)


def gain_at(pitch: float) -> Gain:
    """The gains at a pitch, between those that were measured."""
    place = min(max(bisect_right(PITCHES, pitch) - 1, 0), len(PITCHES) - 2)
    low, high = GAINS[place], GAINS[place + 1]
    share = (pitch - PITCHES[place]) / (PITCHES[place + 1] - PITCHES[place])
    share = max(0.0, min(1.0, share))
    return Gain(
        low.proportional + share * (high.proportional - low.proportional),
        low.integral + share * (high.integral - low.integral),
        low.derivative + share * (high.derivative - low.derivative),
    )


def rated_speed(wind_speed: float) -> float:
    """The speed that the rotor is held at in this wind."""
    if wind_speed < CUT_IN or wind_speed > CUT_OUT:
        return 0.0
    if wind_speed >= RATED_WIND:
        return RATED_SPEED
    share = (wind_speed - CUT_IN) / (RATED_WIND - CUT_IN)
    return IDLE_SPEED + share * (RATED_SPEED - IDLE_SPEED)
