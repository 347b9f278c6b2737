"""Training rows otherwise in every epoch, by row and epoch alone."""
