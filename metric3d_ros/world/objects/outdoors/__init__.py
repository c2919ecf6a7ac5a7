"""Houses, vehicles and street furniture."""
