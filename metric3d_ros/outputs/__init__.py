"""From an estimate to the messages of each output, without ROS: the same for the node and for recordings."""
