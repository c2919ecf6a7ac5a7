"""Half weights and half arithmetic: what is rounded, and how."""
