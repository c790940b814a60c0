"""The commands that make the numbers in the documents, each with the circumstances it ran in."""
