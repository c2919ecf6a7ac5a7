"""Files of images, depth, normals and point clouds, read and written."""
