"""Tests of mailbot.inbound."""
