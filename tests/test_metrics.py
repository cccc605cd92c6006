"""mailbot's figures, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from mailbot.metrics import Figures, as_text

FIGURES = Figures(
    oldest_open_request=90.0,
    answer_times={"0.5": 12.0, "0.99": None},
    answered=7,
    blind={'help "at" home': 60.0},
    listed={"opt_out": 3, "erased": 0},
    ledger_length=12,
    is_marketing_stopped=True,
    needs_a_person=2,
)


def test_each_figure_has_its_name_and_labels() -> None:
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(as_text(FIGURES))
        for sample in family.samples
    }
    assert found == {
        ("mailbot_oldest_open_request_seconds",): 90,
        ("mailbot_suppression_seconds", "0.5"): 12,
        ("mailbot_suppressions_measured",): 7,
        ("mailbot_mailbox_blind_seconds", 'help "at" home'): 60,
        ("mailbot_suppressions", "opt_out"): 3,
        ("mailbot_suppressions", "erased"): 0,
        ("mailbot_ledger_events",): 12,
        ("mailbot_marketing_stopped",): 1,
        ("mailbot_needs_a_person",): 2,
    }
