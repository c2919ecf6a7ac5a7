"""The ROS 2 nodes, one module each, and the rooms that they consist of."""
