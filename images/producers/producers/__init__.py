"""A one-shot sender of GPU and token measurements; every delivery is confirmed or counted."""
