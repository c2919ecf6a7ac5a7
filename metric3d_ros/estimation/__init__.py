"""What does this image show? An image and its camera in, metric depth, confidence and normals out."""
