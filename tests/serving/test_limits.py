"""What strangers send before they are known: it costs nothing, and nothing of it is kept."""

import logging

import pytest

from serving.conftest import Served


def test_a_method_that_nobody_knows_makes_no_label_of_its_own(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bluerec.serving")
    for number in range(50):
        assert served.client.request(f"CANARY{number}", "/users").status_code == 405
    counted = served.client.get("/metrics", headers=served.admin).text
    assert 'bluerec_requests_total{method="other",route="/users",status="405"} 50.0' in counted
    told = [record.facts["method"] for record in caplog.records if hasattr(record, "facts")]
    assert "CANARY" not in counted
    assert told == ["other"] * 50 + ["GET"]
