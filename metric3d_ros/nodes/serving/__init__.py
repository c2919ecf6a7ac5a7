"""Messages and requests of others: requests have a thread of their own, and no error of theirs ends the node."""
