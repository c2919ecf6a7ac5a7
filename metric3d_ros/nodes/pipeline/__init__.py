"""From complete frames to published outputs: which frame, when, on which thread."""
