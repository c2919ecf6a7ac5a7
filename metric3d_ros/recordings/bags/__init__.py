"""ROS bags without ROS: rosbag2 (sqlite3, mcap) and ROS 1 read, rosbag2 written, through `rosbags`."""
