"""rclpy, topics, QoS, the process and its transport: ROS plumbing that knows nothing of depth."""
