"""docs/parameters.md and docs/topics.md, written from the tables in the code."""
