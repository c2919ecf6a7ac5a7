"""ROS plumbing that is independent of depth: rclpy, topics, QoS and the process."""
