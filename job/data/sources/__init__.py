"""Where data comes from: files and folders of disk and bucket, and the images and recordings that rows name."""
