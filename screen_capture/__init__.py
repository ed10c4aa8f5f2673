"""Grab, change, encode, decode: screens as exact text in few bytes. A library without network."""
