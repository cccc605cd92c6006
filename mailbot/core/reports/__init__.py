"""Delivery and feedback reports: who failed for good, who complained."""
