"""docs/parameters.md, docs/topics.md and the SROS2 policy, written from the tables in the code."""
