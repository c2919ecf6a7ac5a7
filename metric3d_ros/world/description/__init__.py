"""What a scene consists of: solids, materials and colours, and the seeded random numbers that choose them."""
