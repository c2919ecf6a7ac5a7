"""What a scene is made of: solids, materials, colours, and the chance that draws them."""
