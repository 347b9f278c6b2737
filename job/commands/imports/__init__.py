"""A model that was taught elsewhere, as a version: its settings, its head, the rows it is measured on, its files."""
