"""Settings: the published numbers, and refusals by name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from network_client import NetworkClient
from siamcorr.errors import InvalidArgument
from siamcorr_client.trackers import (
    SETTINGS,
    AnchorFreeSettings,
    AnchorSettings,
    BankUpdates,
    BlendUpdates,
    LostSettings,
    MultiTracker,
    SiamFCSettings,
    settings_for,
)


@pytest.mark.parametrize(
    ("model", "penalty_k", "window", "rate", "search_px"),
    [
        ("siamrpn", 0.055, 0.42, 0.295, 271),
        ("siamrpnpp_alexnet", 0.16, 0.40, 0.30, 287),
        ("siamrpnpp_mobilenetv2", 0.04, 0.40, 0.50, 255),
        ("siamrpnpp_resnet50", 0.05, 0.42, 0.38, 255),
        ("nanotrackv1", 0.148, 0.462, 0.39, 255),
        ("nanotrackv2", 0.15, 0.49, 0.385, 255),
        ("nanotrackv3", 0.138, 0.455, 0.348, 255),
    ],
)
def test_networks_have_their_published_numbers(
    model: str, penalty_k: float, window: float, rate: float, search_px: int
) -> None:
    found = settings_for(model)
    assert isinstance(found, AnchorFreeSettings if model.startswith("nano") else AnchorSettings)
    numbers = (found.penalty_k, found.window_influence, found.rate, found.search_px)
    assert numbers == (penalty_k, window, rate, search_px)
    assert (found.stride, found.context, found.template_px) == (16 if "nano" in model else 8, 0.5, 127)


@pytest.mark.parametrize("model", ["hog", "dcfnet", "siamfc"])
def test_the_others_have_siamfcs(model: str) -> None:
    found = settings_for(model)
    assert isinstance(found, SiamFCSettings)
    assert (found.scales, found.scale_step, found.window_influence) == (3, 1.0375, 0.176)


def test_no_model_changes_a_box_because_a_target_is_lost_unless_asked() -> None:
    assert {settings.lost.rings for settings in SETTINGS.values()} == {0}


def test_a_transform_behind_the_name_changes_nothing() -> None:
    assert settings_for("nanotrackv3+none") is SETTINGS["nanotrackv3"]
    assert settings_for("hog+ridge") == SETTINGS["hog"]


@pytest.mark.parametrize("model", ["my-net", "", "+ridge", None])
def test_a_model_without_settings_is_refused(model: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^model: found .*, expected one of hog, "):
        settings_for(model)
    with pytest.raises(InvalidArgument, match=r"^model: "):
        MultiTracker(NetworkClient(), model=model)


def test_own_settings_make_any_model_known() -> None:
    own = dataclasses.replace(AnchorFreeSettings(), rate=0.1)
    assert MultiTracker(NetworkClient(), model="my-net", settings=own).settings is own


WRONG: list[tuple[type[Any], str, Any]] = [
    (SiamFCSettings, "scales", 2),
    (SiamFCSettings, "scales", 17),
    (SiamFCSettings, "scales", 3.0),
    (SiamFCSettings, "scale_step", 0.99),
    (SiamFCSettings, "scale_step", float("nan")),
    (SiamFCSettings, "scale_penalty", 1.1),
    (SiamFCSettings, "scale_rate", -0.1),
    (SiamFCSettings, "window_influence", 1.5),
    (SiamFCSettings, "upsampling", 0),
    (SiamFCSettings, "gain", 0.0),
    (SiamFCSettings, "min_side_px", "10"),
    (SiamFCSettings, "lost", 0.3),
    (AnchorFreeSettings, "penalty_k", -0.1),
    (AnchorFreeSettings, "window_influence", 1.01),
    (AnchorFreeSettings, "rate", True),
    (AnchorFreeSettings, "stride", 0),
    (AnchorFreeSettings, "context", 17),
    (AnchorFreeSettings, "template_px", 127.0),
    (AnchorFreeSettings, "search_px", 4096),
    (AnchorSettings, "ratios", ()),
    (AnchorSettings, "ratios", [1.0]),
    (AnchorSettings, "ratios", (0.0,)),
    (AnchorSettings, "scales", (8.0, "8")),
    (LostSettings, "below", -0.1),
    (LostSettings, "above", 0.2),
    (LostSettings, "patience", 0),
    (LostSettings, "rings", 4),
    (LostSettings, "rings", 1.0),
    (BlendUpdates, "rate", 0.0),
    (BlendUpdates, "every", 0),
    (BlendUpdates, "least", 1.1),
    (BankUpdates, "size", 1),
    (BankUpdates, "first_share", -0.1),
]


@pytest.mark.parametrize(("kind", "field", "value"), WRONG)
def test_a_setting_out_of_range_is_refused_by_name(kind: type[Any], field: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: found ") as caught:
        kind(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("kind", [SiamFCSettings, AnchorSettings, AnchorFreeSettings, LostSettings])
def test_a_setting_that_is_not_known_is_an_error(kind: type[Any]) -> None:
    with pytest.raises(TypeError, match="window_influenec"):
        kind(window_influenec=0.2)


@pytest.mark.parametrize("field", ["settings", "updates"])
def test_what_is_no_settings_and_no_policy_is_refused(field: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^{field}: "):
        MultiTracker(NetworkClient(), "nanotrackv3", **{field: {"rate": 0.1}})  # type: ignore[arg-type]
