"""Speaks: campaigns, order status and acknowledgements, through the relay."""
