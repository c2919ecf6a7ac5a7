"""Does the exported model compute the same as the network that it was made from?"""
