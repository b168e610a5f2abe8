"""Trackers that stand on :class:`siamcorr_client.Client` or on an Engine. They need numpy alone."""

from siamcorr_client.trackers.correlator import Correlator
from siamcorr_client.trackers.models import SETTINGS, settings_for
from siamcorr_client.trackers.multi_tracker import MultiTracker
from siamcorr_client.trackers.settings import (
    AnchorFreeSettings,
    AnchorSettings,
    LostSettings,
    SiamFCSettings,
    TrackerSettings,
)
from siamcorr_client.trackers.track import Track
from siamcorr_client.trackers.tracker import Tracker
from siamcorr_client.trackers.updates import BankUpdates, BlendUpdates, Updates

__all__ = [
    "SETTINGS",
    "AnchorFreeSettings",
    "AnchorSettings",
    "BankUpdates",
    "BlendUpdates",
    "Correlator",
    "LostSettings",
    "MultiTracker",
    "SiamFCSettings",
    "Track",
    "Tracker",
    "TrackerSettings",
    "Updates",
    "settings_for",
]
