"""Are two results the same, and how far is one from the truth?"""
