"""The demo: drives the running stack through the doors a user has, and measures what it does."""
