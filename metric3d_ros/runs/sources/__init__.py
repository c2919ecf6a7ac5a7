"""Image files, videos and bags as frames with their cameras, in chunks that can be done one by one."""
