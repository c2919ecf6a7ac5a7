"""The model that is shipped with the package."""
