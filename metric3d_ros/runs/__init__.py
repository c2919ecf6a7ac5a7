"""Recordings through the estimator, without ROS: `metric3d run`, and the same from Python."""
