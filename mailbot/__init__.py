"""mailbot: customers write "unsubscribe" to help@, and get order-status mail only from then on."""

__version__ = "0.1.0"
