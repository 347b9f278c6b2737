"""One step of training: its parts, what is prepared for the device, the gradient, and the answers that measure."""
