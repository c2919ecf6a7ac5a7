"""The demo model that comes with the package."""
