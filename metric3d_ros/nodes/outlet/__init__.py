"""From a result to messages, pictures and snapshots."""
