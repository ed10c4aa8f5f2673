"""A virtual approval platform: it plays the work of several windows and sends its case events to a console."""
