"""Tokens written one after another."""
