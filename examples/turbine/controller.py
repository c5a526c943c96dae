"""The pitch of a turbine's blades: how far they are turned out of the wind, many times a second."""

from dataclasses import dataclass
from typing import Final

from examples.turbine.schedule import Gain, gain_at, rated_speed

SHARPEST: Final = 90.0  # degrees: the blades feather, and the rotor stops
FLATTEST: Final = -2.0
QUICKEST: Final = 8.0  # degrees a second that the bearings take


@dataclass(slots=True)
class PitchController:
    """Holds the rotor at its rated speed above rated wind. Angles in degrees, speeds in revolutions a minute."""

    pitch: float = 0.0
    integral: float = 0.0
    previous_error: float = 0.0

    def step(self, rotor_speed: float, wind_speed: float, seconds: float) -> float:
        """The pitch after one step of the control loop."""
        error = rotor_speed - rated_speed(wind_speed)
        gain = gain_at(self.pitch)
        self.integral = self._unwound(self.integral + error * seconds, gain)
        slope = (error - self.previous_error) / seconds
        self.previous_error = error
        wanted = gain.proportional * error + gain.integral * self.integral + gain.derivative * slope
        return self.turn_to(wanted, seconds)

    def turn_to(self, wanted: float, seconds: float) -> float:
        """Turn the blades as far towards an angle as the bearings allow in this time."""
        farthest = QUICKEST * seconds
        change = max(-farthest, min(farthest, wanted - self.pitch))
        self.pitch = max(FLATTEST, min(SHARPEST, self.pitch + change))
        return self.pitch

    def feather(self, seconds: float) -> float:
        """Turn the blades out of the wind as fast as they go: the emergency stop."""
        self.integral = 0.0
        return self.turn_to(SHARPEST, seconds)

    def _unwound(self, integral: float, gain: Gain) -> float:
        """The integral, no larger than what the blades can answer."""
        most = SHARPEST / gain.integral
        return max(FLATTEST / gain.integral, min(most, integral))
