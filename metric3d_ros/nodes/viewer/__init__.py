"""Image, depth, normals and cloud topics in the Rerun viewer."""
