"""Finding cameras and asking them what they are: ONVIF behind one typed interface (`probe`, `discovery`)."""
