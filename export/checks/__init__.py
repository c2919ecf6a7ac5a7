"""Is the exported model the network that it was made from?"""
