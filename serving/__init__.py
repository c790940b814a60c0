"""The recommendation API: events in, slates out, the champion in memory."""
