"""Trackers that stand on :class:`siamcorr_client.Client` or on an Engine. They need numpy alone."""

from siamcorr_client.trackers.settings import SETTINGS, SiamFCSettings, settings_for
from siamcorr_client.trackers.siamfc import Correlator, SiamFCTracker, Sighting

__all__ = ["SETTINGS", "Correlator", "SiamFCSettings", "SiamFCTracker", "Sighting", "settings_for"]
