"""What a scene consists of: solids, materials, colours, and the random numbers that draw them."""
