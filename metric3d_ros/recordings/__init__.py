"""Images, video and bags in; pictures, clouds and bags out."""
