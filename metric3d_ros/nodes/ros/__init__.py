"""ROS plumbing that is independent of depth: rclpy, topics, QoS, the process and its transport."""
