"""Images and audio to numbers."""
