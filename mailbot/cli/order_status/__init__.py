"""`mailbot order-status`: the shop hands over what became of an order, and asks what came of it."""
