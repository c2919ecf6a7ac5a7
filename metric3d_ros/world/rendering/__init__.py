"""From a scene and a viewpoint to a picture and its true depth and normals."""
